// Keeps a dashboard fresh: fetches the part of it that changes, and puts in what has changed.
//
// Each element with `data-part` has an id and is replaced where its HTML differs from what the
// server sent last. Focus, scrolled tables and a selection outlive that. A hidden tab asks nothing.
"use strict";

const asking = document.querySelector("[data-live]");
const place = document.getElementById("board-live");
const trouble = document.getElementById("board-trouble");
const pause = document.getElementById("board-pause");
const GIVE_UP_MS = 20000;
const sent = new Map();

let timer = 0;
let underWay = false;
let isPaused = false;
let lastGood = new Date();

function isSelected(part) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && selection.intersectsNode(part);
}

function swap(part, fresh) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...part.querySelectorAll(".board-scroll")].map((each) => each.scrollLeft);
  part.replaceWith(fresh);
  fresh.querySelectorAll(".board-scroll").forEach((each, n) => {
    each.scrollLeft = scrolled[n] ?? 0;
  });
  if (focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const part of page.querySelectorAll("[data-part]")) {
    const shown = document.getElementById(part.id);
    if (shown === null) {
      // Something has come that there was no place for: all of it is put in.
      place.replaceChildren(...page.body.childNodes);
      return;
    }
    const content = part.outerHTML;
    if (sent.get(part.id) !== content && !isSelected(shown)) {
      sent.set(part.id, content);
      swap(shown, document.importNode(part, true));
    }
  }
}

function say(words) {
  if (trouble.textContent !== words) {
    trouble.textContent = words;
  }
  place.classList.toggle("is-stale", words !== "");
}

async function ask() {
  const answer = await fetch(asking.dataset.live, {
    redirect: "manual",
    signal: AbortSignal.timeout(GIVE_UP_MS),
  });
  if (answer.type === "opaqueredirect") {
    throw new Error("you are signed out; reload the page to sign in");
  }
  if (!answer.ok) {
    throw new Error(`the site answered with status ${answer.status}`);
  }
  return answer.text();
}

async function refresh() {
  window.clearTimeout(timer);
  if (underWay || isPaused || document.hidden) {
    return;
  }
  underWay = true;
  try {
    show(await ask());
    lastGood = new Date();
    say("");
  } catch (error) {
    const time = lastGood.toISOString().slice(11, 19);
    const why = error.name === "Error" ? error.message : "the site does not answer";
    say(`Stale since ${time} UTC: ${why}.`);
  }
  underWay = false;
  timer = window.setTimeout(refresh, Number(asking.dataset.every));
}

function toggle() {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  pause.textContent = isPaused ? "Resume updates" : "Pause updates";
  refresh();
}

if (asking !== null) {
  for (const part of place.querySelectorAll("[data-part]")) {
    sent.set(part.id, part.outerHTML);
  }
  pause.hidden = false;
  pause.addEventListener("click", toggle);
  document.addEventListener("visibilitychange", refresh);
  timer = window.setTimeout(refresh, Number(asking.dataset.every));
}
