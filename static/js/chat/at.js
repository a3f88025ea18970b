// Opens the conversation at the message that a search found.

const MARKED_MS = 4000;

export function lookAt(log, follower, open) {
  const wanted = Number(new URLSearchParams(location.search).get("at"));
  if (!wanted) return;
  history.replaceState(null, "", location.pathname);
  const look = () => show(log, follower, wanted) && !log.removeEventListener("path", look);
  if (look()) return;
  log.addEventListener("path", look);
  open(wanted); // it stands on another path of the tree
}

function show(log, follower, message) {
  const turn = log.querySelector(`[data-message="${message}"]`);
  if (!turn) return false;
  follower.lookAt(turn);
  turn.classList.add("found");
  setTimeout(() => turn.classList.remove("found"), MARKED_MS);
  return true;
}
