// One ranking task on the page: ranks, ties, how much better, flags, grades, undo, and what stands against a submit.

import { foldReplies } from "../folding.js";
import { startClock } from "./clock.js";
import { canMark, mark, unmark } from "./differences.js";
import { keepDraft } from "./drafts.js";
import { showOrder } from "./order_bar.js";
import { searchRules } from "./rule_search.js";

const LARGEST_STEP = 3;

export function openTask(page) {
  const form = page.querySelector("#ranking");
  const cards = [...form.querySelectorAll("[data-reply]")];
  const undoButton = page.querySelector("[data-undo]");
  const warning = page.querySelector("[data-warn]");
  const draftNote = page.querySelector("[data-draft]");
  const differences = page.querySelector("[data-differences]");
  const steps = [...form.querySelectorAll("[data-strengths] select")];
  const clock = startClock(Number(page.dataset.activeSeconds));
  const history = [];
  const words = {
    nothing: page.dataset.nothing,
    step: page.dataset.stepWords,
    steps: [...(steps[0]?.options ?? [])].map((option) => option.textContent),
  };
  let warned = "";

  // --- what is entered ------------------------------------------------------------------------------

  const radios = (card) => [...card.querySelectorAll(".places input")];
  const placeOf = (card) => Number(card.querySelector(".places input:checked")?.value ?? 0);
  const grades = (card) => [...card.querySelectorAll("[data-grades] input")];
  const searches = new Map(cards.map((card) => [card, searchRules(card, { noRule: page.dataset.noRule }, {
    changed: () => changed(),
    leave: () => card.focus({ preventScroll: true }),
  })]));

  function marks() {
    const places = {};
    for (const card of cards) if (placeOf(card)) places[card.dataset.reply] = String(placeOf(card));
    const chosen = cards.flatMap((card) => grades(card).filter((radio) => radio.checked));
    return {
      places,
      strength: Object.fromEntries(steps.filter((step) => step.value !== "0").map((step) => [step.name.split("-")[1], step.value])),
      grades: Object.fromEntries(chosen.map((radio) => [radio.name.slice("grade-".length), radio.value])),
      flags: cards.flatMap((card) => searches.get(card).flags()),
      overall: form.elements.overall.value,
      refusal: form.elements.refusal?.value ?? "",
      comment: form.elements.comment.value,
    };
  }

  function apply(marked) {
    for (const card of cards) {
      for (const radio of radios(card)) radio.checked = marked.places[card.dataset.reply] === radio.value;
      for (const radio of grades(card)) radio.checked = marked.grades[radio.name.slice("grade-".length)] === radio.value;
      searches.get(card).apply(marked.flags.filter((flag) => flag.startsWith(`${card.dataset.reply}:`)));
    }
    for (const step of steps) step.value = marked.strength[step.name.split("-")[1]] ?? "0";
    form.elements.overall.value = marked.overall;
    if (form.elements.refusal) form.elements.refusal.value = marked.refusal;
    form.elements.comment.value = marked.comment;
  }

  const draft = keepDraft({
    url: page.dataset.draftUrl,
    token: form.elements.csrfmiddlewaretoken.value,
    read: () => ({ ...marks(), unfolded: folding.isUnfolded(), active_seconds: clock.seconds() }),
    words: page.dataset,
    note: (text) => {
      draftNote.textContent = text;
    },
  });

  function changed() {
    const now = JSON.stringify(marks());
    if (history.at(-1) !== now) history.push(now);
    warned = "";
    warning.hidden = true;
    draftNote.textContent = "";
    show();
    draft.soon();
  }

  function undo() {
    if (history.length < 2) return;
    history.pop();
    apply(JSON.parse(history.at(-1)));
    draftNote.textContent = "";
    show();
    draft.save();
  }

  function show() {
    undoButton.disabled = history.length < 2;
    for (const card of cards) card.dataset.placed = placeOf(card);
    showOrder(page.querySelector("[data-order]"), cards, marks(), words, (place) => strengthen(place, 1));
  }

  // --- ranks ----------------------------------------------------------------------------------------

  function setPlace(card, place) {
    const wanted = Math.min(Math.max(place, 1), cards.length);
    for (const radio of radios(card)) radio.checked = Number(radio.value) === wanted;
    changed();
  }

  function move(card, step) {
    const place = placeOf(card);
    setPlace(card, place ? place + step : step < 0 ? 1 : cards.length);
  }

  /** Where the replies of the place are not the last, how much better they are; a button goes round, a key does not. */
  function strengthen(place, by, goesRound = true) {
    const step = steps.find((each) => each.name === `strength-${place}`);
    if (!step || !cards.some((card) => placeOf(card) > place)) return;
    const wanted = Number(step.value) + by;
    step.value = goesRound ? wanted % (LARGEST_STEP + 1) : Math.min(Math.max(wanted, 0), LARGEST_STEP);
    changed();
  }

  /** Whoever finds all alike need not order them. */
  function callAll(value) {
    form.elements.overall.value = form.elements.overall.value === value ? "" : value;
    if (form.elements.overall.value && !cards.some(placeOf)) for (const card of cards) radios(card)[0].checked = true;
    changed();
  }

  function grade(card, number) {
    const radio = card.querySelector("[data-grades]")?.querySelectorAll("input")[number - 1];
    if (!radio) return;
    radio.checked = true;
    changed();
  }

  /** Of one reply alone there is no order: the numbers say whether it refuses. */
  function refuse(number) {
    const radio = form.querySelector("[data-refusal]")?.querySelectorAll("input")[number - 1];
    if (!radio) return;
    radio.checked = true;
    changed();
  }

  function placeByKey(card, place) {
    const placed = card ?? cards.find((each) => !placeOf(each)) ?? cards[0];
    setPlace(placed, place);
    const following = [...cards.slice(cards.indexOf(placed) + 1), ...cards];
    (following.find((each) => !placeOf(each)) ?? placed).focus();
  }

  function focusNeighbour(card, step) {
    const index = card ? cards.indexOf(card) + step : 0;
    cards[Math.min(Math.max(index, 0), cards.length - 1)].focus();
  }

  // --- submit ---------------------------------------------------------------------------------------

  function warn(text, kind) {
    warned = kind;
    warning.textContent = text;
    warning.hidden = false;
  }

  function objection() {
    const lacking = cards.filter((card) => !placeOf(card));
    if (lacking.length) return lack(lacking, page.dataset.lacking);
    const ungraded = cards.filter((card) => grades(card).length && !grades(card).some((radio) => radio.checked));
    if (ungraded.length) return lack(ungraded, page.dataset.ungraded);
    const said = marks();
    if (form.elements.refusal && !said.refusal) return [page.dataset.noRefusal, ""];
    const isTied = cards.length > 1 && new Set(cards.map(placeOf)).size === 1;
    const saysNothing = !said.overall && !said.flags.length && !Object.keys(said.grades).length;
    if (isTied && saysNothing && warned !== "tied") return [page.dataset.allTied, "tied"];
    if (folding.isFolded() && !warned) return [page.dataset.unread, "unread"];
    if (page.dataset.draftUrl && clock.seconds() < Number(page.dataset.leastSeconds) && !warned) return [page.dataset.tooFast, "fast"];
    return null;
  }

  function lack(of, text) {
    of[0].focus();
    return [`${text} ${of.map((card) => card.dataset.letter).join(", ")}`, ""];
  }

  /** Puts into the form what only the page knows; false, with a warning, where something stands against it. */
  function isReady() {
    const objected = objection();
    if (objected) {
      warn(...objected);
      return false;
    }
    form.elements.active_seconds.value = clock.seconds();
    for (const old of form.querySelectorAll("[data-fold-note]")) old.remove();
    if (folding.hasFolded) note("was_folded", "1");
    if (folding.hasFolded) for (const card of folding.whole()) note("unfolded", card.dataset.reply);
    return true;
  }

  function note(name, value) {
    const field = Object.assign(document.createElement("input"), { type: "hidden", name, value });
    field.dataset.foldNote = "";
    form.append(field);
  }

  // --- start ----------------------------------------------------------------------------------------

  function toggleDifferences() {
    if (!canMark()) return;
    const isOn = differences.getAttribute("aria-pressed") !== "true";
    differences.setAttribute("aria-pressed", String(isOn));
    if (isOn) mark(cards.map((card) => card.querySelector(".reply-text")));
    else unmark();
  }

  const folding = foldReplies(cards, page.dataset.unfoldWords, "unfolded" in page.dataset, () => draft.soon());
  form.noValidate = true;
  page.querySelector("[data-strengths]").hidden = true;
  page.addEventListener("change", (event) => {
    if (event.target.name === "overall") return chosenOverall();
    if (event.target.form === form) changed();
  });
  form.elements.comment.addEventListener("input", changed);
  undoButton.addEventListener("click", undo);
  for (const element of page.querySelectorAll("[data-undo], [data-move]")) element.hidden = false;
  differences.hidden = !canMark() || cards.length < 2;
  differences.addEventListener("click", toggleDifferences);
  for (const card of cards) {
    for (const button of card.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => move(card, Number(button.dataset.move)));
    }
  }
  history.push(JSON.stringify(marks()));
  draft.start();
  show();

  function chosenOverall() {
    const { value } = form.elements.overall;
    form.elements.overall.value = "";
    if (value) callAll(value);
    else changed();
  }

  return {
    form, cards, draft, undo, move, grade, refuse, placeByKey, focusNeighbour, isReady, warn, toggleDifferences, callAll,
    unfold: () => folding.unfold(),
    search: (card) => searches.get(card).focus(),
    strengthen: (card, by) => strengthen(placeOf(card), by, false),
    close() {
      draft.end();
      clock.stop();
      if (canMark()) unmark();
    },
  };
}
