// Which model answers: chosen beneath the composer, for this conversation, from the next reply on.

export function keepModels(words, { say, announce, csrf, warn }) {
  const form = document.querySelector("#models");
  if (!form) return; // there is only one
  const choice = form.querySelector("select");
  let saved = choice.value;

  choice.addEventListener("change", async () => {
    if (words.conversation && !(await save())) choice.value = saved;
    saved = choice.value;
    show();
    choice.dispatchEvent(new Event("chosen"));
  });

  /** Who can be wrong, and in which language. */
  function show() {
    const { name, warning } = choice.selectedOptions[0].dataset;
    warn(warning);
    const hint = document.querySelector("#hint");
    hint.textContent = name ? hint.dataset.words.replace("{name}", name) : "";
  }

  async function save() {
    try {
      const answer = await fetch(`/c/${words.conversation}/model/`, {
        method: "POST",
        body: new URLSearchParams({ model: choice.value }),
        headers: { Accept: "application/json", "X-CSRFToken": csrf() },
      });
      if (answer.status === 404) {
        say(form.dataset.gone);
        return false;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      document.querySelector("#lost-model")?.remove();
      say("");
      announce(form.dataset.changed.replace("{name}", choice.selectedOptions[0].dataset.name));
      return true;
    } catch (error) {
      console.warn(error);
      say(form.dataset.failed);
      return false;
    }
  }
}
