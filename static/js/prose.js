// What markdown became, made handy: code has a button that copies it, and what scrolls can be scrolled by keys.

import { copyBy } from "./clipboard.js";

const SCROLLS = ".foreign-text, .table-scroll, .prose table, .prose pre";

/** For all that is within `root`; what is dressed already stays as it is. */
export function dress(root) {
  for (const code of root.querySelectorAll(".prose pre")) if (!code.closest(".code")) box(code);
  for (const part of root.querySelectorAll(SCROLLS)) {
    if (part.scrollHeight > part.clientHeight || part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
}

function box(code) {
  const around = document.createElement("div");
  around.className = "code";
  const [, language] = code.firstElementChild?.className.match(/language-(\S+)/) ?? [];
  if (language) around.dataset.language = language;
  code.replaceWith(around);
  around.append(code, document.querySelector("#copy-code").content.firstElementChild.cloneNode(true));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-code]");
  if (button) copyBy(button, button.closest(".code").querySelector("pre").textContent);
});
