// Editing a message where it stands: what is sent becomes another version of it, and the former one stays.

import { Enter } from "./enter.js";
import { tooLong } from "./length.js";

export class Editor extends EventTarget {
  constructor(words) {
    super();
    this.words = words;
  }

  /** `text`: what to begin with, as after a send that failed; else the draft, else the message. */
  open(turn, text) {
    if (turn.querySelector("[data-editor]")) return;
    const said = turn.querySelector("[data-text]").textContent;
    const form = document.querySelector("#editor").content.firstElementChild.cloneNode(true);
    const field = form.querySelector("textarea");
    const place = `edit:${this.words.user}:${turn.dataset.message}`;
    field.value = text ?? localStorage.getItem(place) ?? said;
    turn.classList.add("editing");
    turn.querySelector("[data-text]").after(form);

    const close = () => {
      localStorage.removeItem(place);
      form.remove();
      turn.classList.remove("editing");
    };
    const send = () => {
      const problem = this.problem(field.value, said);
      form.querySelector("[data-editor-problem]").textContent = problem;
      form.querySelector("[data-editor-problem]").hidden = !problem;
      if (problem || !field.value.trim()) return;
      const edited = { turn, text: field.value, close };
      this.dispatchEvent(new CustomEvent("send", { detail: edited }));
    };
    const cancel = () => {
      close();
      turn.querySelector("[data-edit]").focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    form.querySelector("[data-editor-cancel]").addEventListener("click", cancel);
    field.addEventListener("input", () => localStorage.setItem(place, field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) cancel();
    });
    new Enter(field, send);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  problem(text, said) {
    return tooLong(text, this.words) || (text.trim() === said.trim() ? this.words.unchanged : "");
  }
}
