"use strict";
// The page is fetched again every five seconds, and what has changed is replaced. A table that a person reads, scrolls
// or selects text in stays untouched while it is the same. A screen reader reads the headline only if it changed.
const PERIOD_MS = 5000;
const TIMEOUT_MS = 10000;
const byId = (id, where = document) => where.getElementById(id);
let lastAnswer = new Date();

function show(mood, sign, headline) {
  byId("mood").className = mood;
  byId("sign").textContent = sign;
  if (byId("headline").textContent !== headline) byId("headline").textContent = headline;
  byId("icon").href = `/${mood}.svg`;
  document.title = `${headline} - Crosshaul`;
}

function replaceElement(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...old.querySelectorAll(".wide")].map((table) => [table.id, table.scrollLeft]);
  old.replaceWith(fresh);
  for (const [id, left] of scrolled) if (byId(id)) byId(id).scrollLeft = left;
  if (focused && byId(focused)) byId(focused).focus({ preventScroll: true });
}

function update(page) {
  const [old, fresh] = [byId("main"), byId("main", page)];
  const sections = (main) => [...main.children].map((section) => section.id).join();
  if (sections(old) !== sections(fresh)) return replaceElement(old, fresh);
  for (const section of [...fresh.children]) {
    if (byId(section.id).outerHTML !== section.outerHTML) replaceElement(byId(section.id), section);
  }
}

async function refresh() {
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    update(page);
    show(byId("mood", page).className, byId("sign", page).textContent, byId("headline", page).textContent);
    lastAnswer = new Date();
    byId("fresh").textContent = `As of ${lastAnswer.toLocaleTimeString()}, updated every ${PERIOD_MS / 1000} s.`;
  } catch (error) {
    show("bad", "?", `No answer from the daemon since ${lastAnswer.toLocaleTimeString()}. The figures below are old.`);
    byId("fresh").textContent = `The page tries again every ${PERIOD_MS / 1000} s. Last error: ${error.message}.`;
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);
