// Saves what is entered, one request at a time: two on their way at once may arrive in the other order, and the older one
// would be kept.

const AFTER_MS = 600;

export function keepDraft({ url, token, read, words, note }) {
  let timer = 0;
  let saved = "";
  let onItsWay = null;
  let isOver = !url;
  const now = () => JSON.stringify(read());
  // The clock runs on by itself; what the person entered decides whether there is something to save.
  const entered = (draft) => JSON.stringify({ ...JSON.parse(draft), active_seconds: 0 });

  async function save() {
    clearTimeout(timer);
    if (isOver || onItsWay) return;
    for (let draft = now(); entered(draft) !== saved && !isOver; draft = now()) {
      onItsWay = send(draft);
      const said = await onItsWay;
      onItsWay = null;
      if (isOver) return;
      note(entered(draft) === entered(now()) ? said : "");
      if (said !== words.saved) return;
      saved = entered(draft);
    }
  }

  async function send(body) {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
    try {
      const response = await fetch(url, { method: "POST", headers, body, keepalive: true });
      return response.ok ? words.saved : response.status === 409 ? words.lost : words.unsaved;
    } catch {
      return words.unsaved;
    }
  }

  return {
    start: () => {
      saved = entered(now());
    },
    soon: () => {
      clearTimeout(timer);
      timer = setTimeout(save, AFTER_MS);
    },
    save,
    leave: () => {
      const draft = now();
      if (!isOver && entered(draft) !== saved) send(draft);
    },
    end: () => {
      clearTimeout(timer);
      isOver = true;
    },
    resume: () => {
      isOver = !url;
    },
  };
}
