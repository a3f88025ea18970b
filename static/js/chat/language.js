// The line that says so where the model does not speak the language of the page. Who puts it away sees it no more in this
// browser, until it says something else.

/** Shows a warning, or hides the line where there is none or it was put away. */
export function keepLanguageWarning(words) {
  const line = document.querySelector("#language-warning");
  const said = line.querySelector("span");
  const button = line.querySelector("[data-put-away]");
  const place = (text) => `put-away:${words.user}:${text}`;

  function show(text) {
    said.textContent = text;
    line.hidden = !text || localStorage.getItem(place(text)) !== null;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    localStorage.setItem(place(said.textContent), "");
    show(said.textContent);
    document.querySelector("#text").focus(); // the button that had it is gone
  });
  show(said.textContent);
  return show;
}
