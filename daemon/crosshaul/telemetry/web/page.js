"use strict";
// Every five seconds the page is fetched again, and what has changed is swapped: a table that somebody reads, scrolls or
// has marked text in stays as it is while it is the same. A headline is read out only if it changed.
const PERIOD = 5000;
const DEADLINE = 10000;
const at = (id, where = document) => where.getElementById(id);
let lastAnswer = new Date();

function show(mood, sign, sentence) {
  at("mood").className = mood;
  at("sign").textContent = sign;
  if (at("headline").textContent !== sentence) at("headline").textContent = sentence;
  at("icon").href = `/${mood}.svg`;
  document.title = `${sentence} - Crosshaul`;
}

function replace(old, now) {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...old.querySelectorAll(".wide")].map((each) => [each.id, each.scrollLeft]);
  old.replaceWith(now);
  for (const [id, left] of scrolled) if (at(id)) at(id).scrollLeft = left;
  if (focused && at(focused)) at(focused).focus({ preventScroll: true });
}

function swap(fresh) {
  const [old, now] = [at("main"), at("main", fresh)];
  const names = (main) => [...main.children].map((each) => each.id).join();
  if (names(old) !== names(now)) return replace(old, now);
  for (const section of [...now.children]) {
    if (at(section.id).outerHTML !== section.outerHTML) replace(at(section.id), section);
  }
}

async function refresh() {
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    swap(fresh);
    show(at("mood", fresh).className, at("sign", fresh).textContent, at("headline", fresh).textContent);
    lastAnswer = new Date();
    at("fresh").textContent = `As of ${lastAnswer.toLocaleTimeString()}, kept up to date.`;
  } catch (error) {
    show("bad", "?", `No answer from the daemon since ${lastAnswer.toLocaleTimeString()}: what stands below is old.`);
    at("fresh").textContent = `Asked again every ${PERIOD / 1000} s. The last answer: ${error.message}.`;
  }
  setTimeout(refresh, PERIOD);
}

setTimeout(refresh, PERIOD);
