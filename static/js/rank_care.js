// On a task: the guidelines one key away, and one key that uncovers text which may be harmful.

// The task is replaced by the next one without a new page, so each is looked for when it is wanted.
const dialog = () => document.querySelector("#guidelines-dialog");

function isTyping(target) {
  return target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
}

// The only thing in it that takes the focus is at its end.
function showGuidelines() {
  dialog().showModal();
  dialog().scrollTop = 0;
}

const keys = {
  h: showGuidelines,
  c: () => {
    const cover = document.querySelector("details.cover");
    if (cover) cover.open = !cover.open;
  },
};

// What is pressed in the dialog is not for the task behind it.
document.addEventListener(
  "keydown",
  (event) => {
    if (!dialog()?.open) return;
    event.stopPropagation();
    if (event.key.toLowerCase() === "h" && !event.ctrlKey && !event.metaKey && !event.altKey) dialog().close();
  },
  true,
);

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-guidelines]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showGuidelines();
});

document.addEventListener("keydown", (event) => {
  const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
  const act = event.key.length === 1 ? keys[event.key.toLowerCase()] : undefined;
  if (!act || event.isComposing || hasModifier || document.querySelector("dialog[open]") || isTyping(event.target)) return;
  event.preventDefault();
  act();
});
