// Judging by keys, buttons or the mouse. The answer to a submit is the next task, which takes the place of the last one:
// the page is not loaded again, does not jump, and Back leads to the last answer.

import { openTask } from "./judging/task.js";
import { dress } from "./prose.js";

const dialog = document.querySelector("#rule-dialog");
let page = document.querySelector("#rank-page");
let task = openTask(page);
let isSubmitting = false;

// --- from one task to the next --------------------------------------------------------------------

const isCorrection = () => !page.dataset.draftUrl;

document.addEventListener("submit", (event) => {
  if (event.target === task.form) {
    if (isSubmitting || !task.isReady()) event.preventDefault();
    else if (isCorrection()) isSubmitting = true;
    else send(event);
  } else if (event.target.closest("[data-skip]") && !isSubmitting) send(event);
});

async function send(event) {
  event.preventDefault();
  isSubmitting = true;
  task.draft.end();
  const response = await post(event.target);
  isSubmitting = false;
  if (response?.ok || response?.status === 400) return take(response);
  task.draft.resume();
  task.warn(response?.status === 409 ? page.dataset.refused : page.dataset.unsent, "");
}

function post(form) {
  const headers = { "X-Fragment": "task", Accept: "text/html" };
  return fetch(form.action, { method: "POST", headers, body: new FormData(form) }).catch(() => null);
}

async function take(response) {
  if (response.status === 204) return location.reload();
  const body = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = body.querySelector("#rank-page");
  if (!next) return location.reload();
  replace(document.importNode(next, true), response.ok);
  tell(body.querySelector(".notices"));
}

function replace(next, isAnother) {
  task.close();
  // Old page, new page: Back goes to the answer that was given here, the address of the new one is that of the queue.
  if (isAnother && next.dataset.lastUrl && next.dataset.lastUrl !== page.dataset.lastUrl) {
    history.replaceState({ answered: true }, "", next.dataset.lastUrl);
    history.pushState(null, "", next.dataset.address);
  }
  page.replaceWith(next);
  page = next;
  dress(page);
  task = openTask(page);
  keepFolds();
  const top = page.getBoundingClientRect().top + scrollY;
  if (scrollY > top) scrollTo({ top: Math.max(0, top - document.querySelector("header")?.offsetHeight), behavior: "instant" });
  task.cards[0]?.focus({ preventScroll: true });
}

function tell(notices) {
  document.querySelector("body > .notices")?.remove();
  if (!notices) return;
  document.querySelector("#content").before(document.importNode(notices, true));
  for (const button of document.querySelectorAll("body > .notices [data-dismiss]")) {
    button.hidden = false;
    button.addEventListener("click", () => button.closest("[data-notice]").remove());
  }
}

addEventListener("popstate", () => location.reload());
addEventListener("pageshow", (event) => {
  isSubmitting = false;
  if (event.persisted) location.reload(); // the task that it shows was answered meanwhile
});
addEventListener("pagehide", () => {
  if (!isSubmitting) task.draft.leave();
});

// --- rules ----------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-rule]");
  if (link) {
    event.preventDefault();
    showRule(link.dataset.rule);
  }
});

function showRule(id) {
  const copy = document.querySelector(`#rule-${id}`).cloneNode(true);
  copy.removeAttribute("id");
  dialog.querySelector("[data-body]").replaceChildren(copy);
  dialog.showModal();
}

function keepFolds() {
  for (const fold of page.querySelectorAll("[data-fold]")) {
    const kept = localStorage.getItem(fold.dataset.fold);
    if (kept) fold.open = kept === "open";
    fold.addEventListener("toggle", () => localStorage.setItem(fold.dataset.fold, fold.open ? "open" : "closed"));
  }
}

// --- keys -----------------------------------------------------------------------------------------

const keys = {
  ArrowDown: (card) => task.focusNeighbour(card, 1),
  ArrowUp: (card) => task.focusNeighbour(card, -1),
  j: (card) => task.focusNeighbour(card, 1),
  k: (card) => task.focusNeighbour(card, -1),
  ArrowLeft: (card) => card && task.move(card, -1),
  ArrowRight: (card) => card && task.move(card, 1),
  "+": (card) => card && task.strengthen(card, 1),
  "=": (card) => card && task.strengthen(card, 1), // the same key without Shift
  "-": (card) => card && task.strengthen(card, -1),
  f: (card) => task.search(card ?? task.cards[0]),
  g: () => task.callAll("good"),
  b: () => task.callAll("bad"),
  m: () => task.unfold(),
  d: () => task.toggleDifferences(),
  u: () => task.undo(),
  z: () => page.querySelector("[data-back]")?.click(),
  s: () => openSkip(),
};

function openSkip() {
  const skip = page.querySelector("[data-skip]");
  if (!skip) return;
  skip.open = true;
  skip.querySelector("select").focus();
}

const currentCard = () => document.activeElement?.closest?.("[data-reply]") ?? null;

document.addEventListener("keydown", (event) => {
  if (event.isComposing || dialog.open) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    if (!event.repeat) task.form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])")) {
    if (event.key === "Escape") (currentCard() ?? task.cards[0]).focus();
    return;
  }
  const digit = Number(/^Digit([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(event.key) ? event.key : 0));
  if (digit) pressDigit(event, digit);
  else pressLetter(event);
});

function pressDigit(event, digit) {
  const isSingle = task.cards.length === 1;
  const card = currentCard() ?? (isSingle ? task.cards[0] : null);
  if (isSingle && !event.shiftKey) task.refuse(digit);
  else if (event.shiftKey && card) task.grade(card, digit);
  else if (!event.shiftKey && digit <= task.cards.length) task.placeByKey(card, digit);
  else return;
  event.preventDefault();
}

function pressLetter(event) {
  const isRadioArrow = event.target.matches("input[type=radio]") && event.key.startsWith("Arrow");
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const isInside = currentCard() || !event.key.startsWith("Arrow");
  if (!act || isRadioArrow || !isInside) return;
  event.preventDefault();
  act(currentCard());
}

for (const element of document.querySelectorAll("[data-keys]")) element.hidden = false;
keepFolds();
