// Whether one's own instructions stand before this conversation: switched beneath the composer, from the next reply on.

/** Returns a function that says what is chosen: on, off, or nothing where the person has no instructions. */
export function keepInstructions(words, { say, csrf }) {
  const form = document.querySelector("#instructions");
  if (!form) return () => "";
  const box = form.querySelector("input[type=checkbox]");
  const chosen = () => (box.checked ? "on" : "off");

  form.addEventListener("submit", (event) => event.preventDefault());
  box.addEventListener("change", async () => {
    if (words.conversation && !(await save())) box.checked = !box.checked;
    form.dispatchEvent(new Event("chosen"));
  });

  async function save() {
    try {
      const answer = await fetch(`/c/${words.conversation}/instructions/`, {
        method: "POST",
        body: new URLSearchParams({ instructions: chosen() }),
        headers: { Accept: "application/json", "X-CSRFToken": csrf() },
      });
      if (!answer.ok) throw new Error(String(answer.status));
      say("");
      return true;
    } catch (error) {
      console.warn(error);
      say(form.dataset.failed);
      return false;
    }
  }

  return chosen;
}
