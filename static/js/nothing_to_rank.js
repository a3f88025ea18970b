// While nothing waits, look again every fifteen seconds, but only while somebody looks at the page.

const EVERY_MS = 15_000;

setInterval(() => {
  if (!document.hidden) location.reload();
}, EVERY_MS);
