// In a demo, one press on an account's name fills in the form and signs in.

const form = document.querySelector("form.card");
for (const button of document.querySelectorAll("[data-demo]")) {
  button.addEventListener("click", () => {
    form.elements.username.value = button.dataset.demo;
    form.elements.password.value = button.dataset.password;
    form.requestSubmit();
  });
}
