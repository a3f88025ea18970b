// Copies the address of a shared link.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-link]");
  if (!button) return;
  const address = button.dataset.copyLink;
  try {
    await navigator.clipboard.writeText(address);
    button.querySelector("span").textContent = button.dataset.copied;
  } catch (error) {
    console.warn(error); // no permission, or a page without TLS: the field beside it can be copied by hand
    button.closest(".link").querySelector(".link-address").select();
  }
});
document.addEventListener("focusin", (event) => event.target.matches(".link-address") && event.target.select());
