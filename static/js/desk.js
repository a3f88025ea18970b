// The moderators' desk by keys: from item to item, one key a verb, ticks, and the sheet that lists the keys.

const sheet = document.querySelector("#desk-keys");
const rows = [...document.querySelectorAll("[data-row]")];
const bulk = document.querySelector("[data-bulk]");
const confirmation = document.querySelector("[data-confirm]");
let isSent = false;

const boxes = () => [...document.querySelectorAll("[data-row] input[name=item]")];
const press = (selector) => document.querySelector(selector)?.click();
const currentRow = () => document.activeElement?.closest?.("[data-row]") ?? null;

function focusRow(step) {
  const here = currentRow();
  const index = here ? rows.indexOf(here) + step : 0;
  const row = rows[Math.min(Math.max(index, 0), rows.length - 1)];
  row?.querySelector("[data-open]").focus();
  row?.scrollIntoView({ block: "nearest" });
}

function tick() {
  const box = currentRow()?.querySelector("input[name=item]");
  if (!box) return;
  box.checked = !box.checked;
  showAll();
}

function tickAll(isOn) {
  for (const box of boxes()) box.checked = isOn;
  showAll();
}

function showAll() {
  const all = document.querySelector("[data-all]");
  if (all) all.checked = boxes().length > 0 && boxes().every((box) => box.checked);
}

// --- keys: by `code`, since a Korean keyboard gives other letters -----------------------------------------------------

const onList = {
  KeyJ: () => focusRow(1),
  ArrowDown: () => focusRow(1),
  KeyK: () => focusRow(-1),
  ArrowUp: () => focusRow(-1),
  KeyX: tick,
  KeyA: () => bulk && tickAll(boxes().some((box) => !box.checked)),
  KeyB: () => bulk?.elements.verb.focus(),
};
const onItem = {
  KeyJ: () => press("[data-next]"),
  ArrowRight: () => press("[data-next]"),
  KeyK: () => press("[data-previous]"),
  ArrowLeft: () => press("[data-previous]"),
  KeyN: () => document.querySelector("#id_text")?.focus(),
};

function verb(code) {
  const letter = code.startsWith("Key") ? code.slice(3).toLowerCase() : "";
  return letter && document.querySelector(`[data-key="${letter}"]`);
}

function whileTyping(event) {
  if (event.key === "Escape") event.target.blur();
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    event.target.form?.requestSubmit();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented || event.repeat || sheet?.open) return;
  if (event.key === "Escape" && confirmation) return press("[data-cancel]");
  if (event.target.matches?.("textarea, select, input:not([type=checkbox])")) return whileTyping(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.key === "?" && sheet) {
    event.preventDefault();
    return sheet.showModal();
  }
  const button = verb(event.code);
  const act = button ? () => button.click() : (rows.length ? onList : onItem)[event.code];
  if (!act) return undefined;
  event.preventDefault();
  return act();
});

// --- the mouse, and a decision that is sent once ----------------------------------------------------------------------

for (const button of document.querySelectorAll("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", () => sheet.showModal());
}
sheet?.addEventListener("click", (event) => {
  if (event.target === sheet) sheet.close();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) tickAll(event.target.checked);
  if (event.target.matches("input[name=item]")) showAll();
});
document.addEventListener("submit", (event) => {
  if (isSent) event.preventDefault();
  isSent = true;
});
addEventListener("pageshow", () => {
  isSent = false;
});
confirmation?.querySelector("textarea")?.focus();
