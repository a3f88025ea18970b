// Ranking by keys, buttons or the mouse: places, ties, flags, undo, a draft that survives a reload.

import { foldReplies } from "./folding.js";

const DRAFT_AFTER_MS = 600;
const TOO_FAST_MS = 3000;

const page = document.querySelector("#rank-page");
const form = document.querySelector("#ranking");
const cards = [...form.querySelectorAll("[data-reply]")];
const undoButton = document.querySelector("[data-undo]");
const warning = document.querySelector("[data-warn]");
const draftNote = document.querySelector("[data-draft]");
const skip = document.querySelector("[data-skip]");
const dialog = document.querySelector("#rule-dialog");
const openedAt = performance.now();
const history = [];
let draftTimer = 0;
let savedDraft = "";
let draftOnItsWay = null;
let warned = "";
let isSubmitting = false;

// --- places ---------------------------------------------------------------------------------------

const radios = (card) => [...card.querySelectorAll("input[type=radio]")];
const flags = (card) => [...card.querySelectorAll("input[name=flag]")];
const placeOf = (card) => Number(card.querySelector("input[type=radio]:checked")?.value ?? 0);

function setPlace(card, place) {
  const wanted = Math.min(Math.max(place, 1), cards.length);
  for (const radio of radios(card)) radio.checked = Number(radio.value) === wanted;
  changed();
}

function move(card, step) {
  const place = placeOf(card);
  setPlace(card, place ? place + step : step < 0 ? 1 : cards.length);
}

function currentCard() {
  return document.activeElement?.closest?.("[data-reply]") ?? null;
}

function focusNeighbour(card, step) {
  const index = card ? cards.indexOf(card) + step : 0;
  cards[Math.min(Math.max(index, 0), cards.length - 1)].focus();
}

// --- what is marked -------------------------------------------------------------------------------

function marks() {
  const places = {};
  for (const card of cards) if (placeOf(card)) places[card.dataset.reply] = String(placeOf(card));
  const flagged = cards.flatMap((card) => flags(card).filter((box) => box.checked).map((box) => box.value));
  return { places, flags: flagged, comment: form.elements.comment.value };
}

function apply(marked) {
  for (const card of cards) {
    for (const radio of radios(card)) radio.checked = marked.places[card.dataset.reply] === radio.value;
    for (const box of flags(card)) box.checked = marked.flags.includes(box.value);
  }
  form.elements.comment.value = marked.comment;
}

function changed() {
  const now = JSON.stringify(marks());
  if (history.at(-1) !== now) history.push(now);
  warned = "";
  warning.hidden = true;
  draftNote.textContent = "";
  show();
  clearTimeout(draftTimer);
  draftTimer = setTimeout(saveDraft, DRAFT_AFTER_MS);
}

function undo() {
  if (history.length < 2) return;
  history.pop();
  apply(JSON.parse(history.at(-1)));
  draftNote.textContent = "";
  show();
  saveDraft();
}

function show() {
  undoButton.disabled = history.length < 2;
  const byPlace = new Map();
  for (const card of cards) {
    const place = placeOf(card);
    card.dataset.placed = place;
    const count = flags(card).filter((box) => box.checked).length;
    const badge = card.querySelector("[data-flag-count]");
    badge.hidden = count === 0;
    badge.textContent = count;
    if (place) byPlace.set(place, [...(byPlace.get(place) ?? []), card.dataset.letter]);
  }
  const order = [...byPlace.keys()].sort((a, b) => a - b).map((place) => byPlace.get(place).join(" = "));
  document.querySelector("[data-order]").textContent = order.join(" > ") || page.dataset.nothing;
}

// One at a time: two on their way at once may arrive in the other order, and the older one would be kept.
async function saveDraft() {
  clearTimeout(draftTimer);
  draftTimer = 0;
  if (isSubmitting || draftOnItsWay) return;
  for (let draft = JSON.stringify(marks()); draft !== savedDraft && !isSubmitting; draft = JSON.stringify(marks())) {
    draftOnItsWay = sendDraft(draft);
    const note = await draftOnItsWay;
    draftOnItsWay = null;
    draftNote.textContent = draft === JSON.stringify(marks()) ? note : "";
    if (note !== page.dataset.saved) return;
    savedDraft = draft;
  }
}

async function sendDraft(draft) {
  try {
    const response = await fetch(page.dataset.draftUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      body: draft,
      keepalive: true,
    });
    return response.ok ? page.dataset.saved : response.status === 409 ? page.dataset.lost : page.dataset.unsaved;
  } catch {
    return page.dataset.unsaved;
  }
}

// --- submit ---------------------------------------------------------------------------------------

function warn(text, kind) {
  warned = kind;
  warning.textContent = text;
  warning.hidden = false;
}

function objection() {
  const lacking = cards.filter((card) => !placeOf(card));
  if (lacking.length) {
    lacking[0].focus();
    return [`${page.dataset.lacking} ${lacking.map((card) => card.dataset.letter).join(", ")}`, ""];
  }
  const isTied = new Set(cards.map(placeOf)).size === 1;
  if (isTied && !marks().flags.length && warned !== "tied") return [page.dataset.allTied, "tied"];
  if (isFolded() && !warned) return [page.dataset.unread, "unread"];
  if (performance.now() - openedAt < TOO_FAST_MS && !warned) return [page.dataset.tooFast, "fast"];
  return null;
}

form.noValidate = true;
form.addEventListener("submit", (event) => {
  const objected = isSubmitting ? ["", ""] : objection();
  if (objected) {
    event.preventDefault();
    if (objected[0]) warn(...objected);
    return;
  }
  isSubmitting = true;
  clearTimeout(draftTimer);
});
addEventListener("pageshow", () => {
  isSubmitting = false;
});
addEventListener("pagehide", () => {
  const draft = JSON.stringify(marks());
  if (!isSubmitting && draft !== savedDraft) sendDraft(draft);
});

// --- rules ----------------------------------------------------------------------------------------

function showRule(id) {
  const body = dialog.querySelector("[data-body]");
  const copy = document.querySelector(`#rule-${id}`).cloneNode(true);
  copy.removeAttribute("id");
  body.replaceChildren(copy);
  dialog.showModal();
}

for (const link of document.querySelectorAll("[data-rule]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    showRule(link.dataset.rule);
  });
}

for (const field of document.querySelectorAll("[data-search-field]")) {
  field.hidden = false;
  const panel = field.closest(".flags");
  field.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const line of panel.querySelectorAll(".flag-line")) line.hidden = !line.dataset.name.includes(wanted);
    for (const group of panel.querySelectorAll(".flag-group")) group.hidden = !group.querySelector(".flag-line:not([hidden])");
  });
}

// --- keys -----------------------------------------------------------------------------------------

const keys = {
  ArrowDown: (card) => focusNeighbour(card, 1),
  ArrowUp: (card) => focusNeighbour(card, -1),
  j: (card) => focusNeighbour(card, 1),
  k: (card) => focusNeighbour(card, -1),
  ArrowLeft: (card) => card && move(card, -1),
  ArrowRight: (card) => card && move(card, 1),
  f: (card) => card && toggleFlags(card),
  u: undo,
  s: () => {
    skip.open = true;
    skip.querySelector("select").focus();
  },
};

function toggleFlags(card) {
  const panel = card.querySelector(".flags");
  panel.open = !panel.open;
  (panel.open ? panel.querySelector("input[type=search]") : card).focus();
}

function placeByKey(place) {
  const card = currentCard() ?? cards.find((each) => !placeOf(each)) ?? cards[0];
  setPlace(card, place);
  const following = [...cards.slice(cards.indexOf(card) + 1), ...cards];
  (following.find((each) => !placeOf(each)) ?? card).focus();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || dialog.open) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])")) {
    if (event.key === "Escape") currentCard()?.focus();
    return;
  }
  if (/^[1-9]$/.test(event.key) && Number(event.key) <= cards.length) {
    event.preventDefault();
    placeByKey(Number(event.key));
    return;
  }
  const isRadioArrow = event.target.matches("input[type=radio]") && event.key.startsWith("Arrow");
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const isInside = currentCard() || !event.key.startsWith("Arrow");
  if (!act || isRadioArrow || !isInside) return;
  event.preventDefault();
  act(currentCard());
});

// --- start ----------------------------------------------------------------------------------------

form.addEventListener("change", changed);
form.elements.comment.addEventListener("input", changed);
undoButton.addEventListener("click", undo);
for (const element of document.querySelectorAll("[data-undo], [data-move], [data-keys]")) element.hidden = false;
for (const card of cards) {
  for (const button of card.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(card, Number(button.dataset.move)));
  }
}
for (const fold of document.querySelectorAll("[data-fold]")) {
  const kept = localStorage.getItem(fold.dataset.fold);
  if (kept) fold.open = kept === "open";
  fold.addEventListener("toggle", () => localStorage.setItem(fold.dataset.fold, fold.open ? "open" : "closed"));
}
const isFolded = foldReplies(cards, page.dataset.unfoldWords);
savedDraft = JSON.stringify(marks());
history.push(savedDraft);
show();
