"use strict";
// Every five seconds the page is fetched again and its main part swapped; a fresh headline is read out only if it changed.
const PERIOD = 5000;
const DEADLINE = 10000;

function swap(fresh) {
  const focused = document.activeElement ? document.activeElement.id : "";
  document.getElementById("main").replaceWith(fresh.getElementById("main"));
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
  const [old, now] = [document, fresh].map((each) => each.getElementById("headline"));
  if (old.textContent !== now.textContent) old.textContent = now.textContent;
  old.className = now.className;
  document.title = fresh.title;
}

async function refresh() {
  const note = document.getElementById("fresh");
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    note.textContent = `As of ${new Date().toLocaleTimeString()}, kept up to date.`;
    note.className = "";
  } catch (error) {
    note.textContent = `No answer from the daemon (${error.message}): what stands here is old.`;
    note.className = "bad";
  }
  setTimeout(refresh, PERIOD);
}

setTimeout(refresh, PERIOD);
