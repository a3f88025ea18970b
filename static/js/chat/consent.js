// Asks for consent when training is switched on for the first time, or when its words have changed.

const dialog = document.querySelector("#consent-words");
let isGiven = !dialog;

/** Whether the person has agreed by now; shows them the words if they have not. */
export function hasConsent() {
  if (isGiven) return true;
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(isGiven), { once: true });
    dialog.showModal();
  });
}

/** `words.consentFailed` is shown where the answer could not be stored. */
export function keepConsent(words) {
  const asked = document.querySelector("#consent-asked");
  asked?.querySelector("button").addEventListener("click", () => dialog.showModal());
  dialog?.querySelector("form[action]").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const body = new FormData(form, event.submitter);
    try {
      const headers = { Accept: "application/json" };
      const response = await fetch(form.action, { method: "POST", body, headers });
      if (response.status === 409) return location.reload(); // other words are in force, and are to be read
      if (!response.ok) throw new Error(String(response.status));
      isGiven = (await response.json()).is_given;
      asked?.remove();
      dialog.close();
    } catch (error) {
      console.warn(error);
      const problem = dialog.querySelector("[data-problem]");
      problem.textContent = words.consentFailed;
      problem.hidden = false;
    }
  });
}
