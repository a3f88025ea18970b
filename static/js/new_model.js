// Says what a model would cost and take while its form is filled in; without script a button asks for it.

const form = document.getElementById("new-model");
const figures = form.querySelector("[data-figures]");
const WAIT_MS = 300;
let timer = 0;
let asked = 0;

async function estimate() {
  const mine = ++asked;
  const fields = new FormData(form);
  fields.delete("csrfmiddlewaretoken");
  try {
    const response = await fetch(`${form.dataset.estimate}?${new URLSearchParams(fields)}`, { redirect: "error" });
    if (!response.ok || mine !== asked) return;
    const html = await response.text();
    figures.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  } catch {
    // What stands there is of a moment ago; the next change asks again.
  }
}

form.querySelector("[data-again]").closest("p").hidden = true;
form.addEventListener("change", () => {
  clearTimeout(timer);
  timer = setTimeout(estimate, WAIT_MS);
});
