// Who answers: chosen in the head of a conversation, or among the assistants of an empty one.

export function keepAssistants(words, { say, announce, csrf }) {
  const form = document.querySelector("#picker");
  const choice = form.querySelector("select");
  let saved = choice.value;

  choice.addEventListener("change", async () => {
    show();
    if (words.conversation && !(await save())) {
      choice.value = saved;
      show();
    }
    saved = choice.value;
    choice.dispatchEvent(new Event("chosen"));
  });

  /** What the empty conversation says of the choice. */
  function show() {
    const option = choice.selectedOptions[0];
    const about = document.querySelector("[data-about-chosen]");
    if (about) about.textContent = option.dataset.about ?? "";
    for (const link of document.querySelectorAll("[data-pick]")) {
      if (link.dataset.pick === choice.value) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  async function save() {
    try {
      const answer = await fetch(`/c/${words.conversation}/assistant/`, {
        method: "POST",
        body: new URLSearchParams({ assistant: choice.value }),
        headers: { Accept: "application/json", "X-CSRFToken": csrf() },
      });
      if (answer.status === 404) {
        say(form.dataset.gone);
        return false;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      document.querySelector("#lost-assistant")?.remove();
      say("");
      announce(form.dataset.changed.replace("{name}", choice.selectedOptions[0].textContent));
      return true;
    } catch (error) {
      console.warn(error);
      say(form.dataset.failed);
      return false;
    }
  }

  document.querySelector("#welcome")?.addEventListener("click", (event) => {
    const link = event.target.closest("[data-pick]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choice.value = link.dataset.pick === choice.value ? "" : link.dataset.pick;
    choice.dispatchEvent(new Event("change"));
    document.querySelector("#text").focus();
  });
}
