// A task of a project's question: answered by keys or the mouse, with a draft that is saved meanwhile.

import { startClock } from "./judging/clock.js";
import { keepDraft } from "./judging/drafts.js";

const page = document.querySelector("#question-page");
const form = page.querySelector("#answer");
const warning = page.querySelector("[data-warn]");
const note = page.querySelector("[data-draft]");
const every = [...form.querySelectorAll("[data-question]")];
const clock = startClock(Number(page.dataset.activeSeconds));
let isSubmitting = false;
let warned = "";

// What stands in a closed part of the form is not asked.
const isAsked = (element) => !element.parentElement.closest("details:not([open])");
const asked = () => every.filter(isAsked);
const radios = (question) => [...question.querySelectorAll("input[type=radio]")];
const isAnswered = (question) => radios(question).some((radio) => radio.checked);

function read() {
  const fields = Object.fromEntries(new FormData(form));
  delete fields.csrfmiddlewaretoken;
  return { ...fields, active_seconds: String(clock.seconds()) };
}

const draft = keepDraft({
  url: page.dataset.draftUrl,
  token: form.elements.csrfmiddlewaretoken.value,
  read,
  words: page.dataset,
  note: (text) => {
    note.textContent = text;
  },
});

// --- what is chosen by keys ------------------------------------------------------------------------

const current = () => document.activeElement?.closest?.("[data-question]") ?? null;

function choose(number) {
  const questions = asked();
  const question = current() ?? questions.find((one) => !isAnswered(one)) ?? questions[0];
  const radio = question && radios(question)[number - 1];
  if (!radio) return false;
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
  const rest = questions.slice(questions.indexOf(question) + 1);
  select(rest.find((one) => !isAnswered(one)) ?? question);
  return true;
}

function select(question) {
  const at = radios(question).find((radio) => radio.checked) ?? question;
  at.focus();
}

function step(by) {
  const questions = asked();
  if (!questions.length) return;
  const at = questions.indexOf(current());
  select(questions[Math.min(Math.max(at + by, 0), questions.length - 1)]);
}

function openSkip() {
  const skip = page.querySelector("[data-skip]");
  if (!skip) return;
  skip.open = true;
  skip.querySelector("select").focus();
}

const keys = { j: () => step(1), k: () => step(-1), s: openSkip };

document.addEventListener("keydown", (event) => {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    if (!event.repeat) form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])")) return;
  if (/^[1-9]$/.test(event.key) ? choose(Number(event.key)) : pressed(event.key)) event.preventDefault();
});

function pressed(key) {
  const act = key.length === 1 ? keys[key.toLowerCase()] : undefined;
  act?.();
  return Boolean(act);
}

// --- submit ----------------------------------------------------------------------------------------

function warn(text, kind) {
  warned = kind;
  warning.textContent = text;
  warning.hidden = false;
}

function isReady() {
  const lacking = asked().find((one) => !isAnswered(one));
  const empty = [...form.querySelectorAll("textarea[required]:invalid")].find(isAsked);
  if (lacking || empty) {
    if (lacking) select(lacking);
    else empty.focus();
    warn(page.dataset.lacking, "");
    return false;
  }
  if (page.dataset.draftUrl && clock.seconds() < Number(page.dataset.leastSeconds) && warned !== "fast") {
    warn(page.dataset.tooFast, "fast");
    return false;
  }
  return true;
}

form.noValidate = true;
form.addEventListener("submit", (event) => {
  if (isSubmitting || !isReady()) {
    event.preventDefault();
    return;
  }
  isSubmitting = true;
  draft.end();
  form.elements.active_seconds.value = clock.seconds();
});

/** A choice that asks for more opens that part, and closes it where another one was made. */
function openFurther(radio) {
  for (const opener of form.querySelectorAll(`input[name="${radio.name}"][data-opens]`)) {
    document.querySelector(`#${opener.dataset.opens}`).open = opener.checked;
  }
}

function changed(event) {
  if (event.target.matches("input[type=radio]")) openFurther(event.target);
  warned = "";
  warning.hidden = true;
  note.textContent = "";
  draft.soon();
}

form.addEventListener("input", changed);
form.addEventListener("change", changed);
addEventListener("pagehide", () => {
  if (!isSubmitting) draft.leave();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // the task that it shows was answered meanwhile
});

for (const element of document.querySelectorAll("[data-keys]")) element.hidden = false;
draft.start();
if (asked().length && !document.querySelector("details.cover:not([open])")) select(asked().find((one) => !isAnswered(one)) ?? asked()[0]);
