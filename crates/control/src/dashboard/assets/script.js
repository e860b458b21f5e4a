// What a page can do without, but is handier with.
"use strict";

for (const dialog of document.querySelectorAll("dialog[data-close]")) {
  // Modal: the page behind it is out of reach until it is closed.
  dialog.close();
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    location.assign(dialog.dataset.close);
  });
}

/** Copies by the clipboard, or as a page without a secure context may. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "hidden";
  // A modal dialog lets nothing outside it be focused.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser does not copy");
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it by hand";
    }
    button.focus();
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

for (const button of document.querySelectorAll("button[data-deselect]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const boxes = button.form.querySelectorAll(`input[name="${button.dataset.deselect}"]`);
    for (const box of boxes) box.checked = false;
    button.form.dispatchEvent(new Event("input"));
  });
}

for (const form of document.querySelectorAll("form[data-unsaved]")) {
  let unsaved = false;
  form.addEventListener("input", () => { unsaved = true; });
  form.addEventListener("submit", () => { unsaved = false; });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
}

/** Takes the elements of these ids from this page as it is now; returns that page. */
async function refresh(...ids) {
  const answer = await fetch(location.href);
  if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && now) old.replaceWith(document.adoptNode(now));
  }
  return fresh;
}

/** Renews an element for as long as it asks to be. */
function renew(element) {
  setTimeout(async () => {
    await refresh(element.id).catch(() => {});
    const now = document.getElementById(element.id);
    if (now?.dataset.refresh) renew(now);
  }, Number(element.dataset.refresh));
}
for (const element of document.querySelectorAll("[data-refresh]")) renew(element);

/** New rows of a table. It holds still while somebody points into it. */
class Live {
  #waiting = [];
  #source;
  #counting;

  constructor(url) {
    this.url = url;
    this.note = document.querySelector("[data-live-note]");
    this.table = document.getElementById("rows")?.closest(".table");
    for (const calm of ["pointerleave", "focusout"]) {
      this.table?.addEventListener(calm, () => setTimeout(() => this.#show()));
    }
    // A page that nobody sees costs the server nothing.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#source.close();
      else this.#open();
    });
    addEventListener("pagehide", () => this.#source.close());
    this.#open();
  }

  #open() {
    this.#source = new EventSource(this.url);
    // What came between the page and the stream.
    this.#source.addEventListener("cursor", () => this.#renew());
    this.#source.addEventListener("row", ({ data }) => this.#take(data));
    this.#source.addEventListener("error", () => {
      // The browser tries again by itself, unless it was refused.
      if (this.#source.readyState === EventSource.CLOSED && !document.hidden) {
        setTimeout(() => this.#open(), 15_000);
      }
    });
  }

  #take(html) {
    // The first message of all: the page is another one from now on.
    if (!this.table) return setTimeout(() => location.reload(), 500);
    const template = document.createElement("template");
    template.innerHTML = html;
    const row = template.content.firstElementChild;
    if (document.querySelector(`tr[data-id="${row.dataset.id}"]`)) return;
    if (this.#waiting.some(({ dataset }) => dataset.id === row.dataset.id)) return;
    row.classList.add("arrived");
    this.#waiting.push(row);
    this.#show();
  }

  #isHeld() {
    return this.table.matches(":hover") || this.table.contains(document.activeElement);
  }

  #show() {
    const count = this.#waiting.length;
    const held = count > 0 && this.#isHeld();
    this.note.hidden = !held;
    this.note.textContent = held ? `${count} new, shown when you leave the table` : "";
    if (count === 0 || held) return;
    const body = document.getElementById("rows");
    const rows = [...this.#waiting.reverse(), ...body.rows];
    this.#waiting = [];
    // All at once and never more than a page: nothing else moves.
    body.replaceChildren(...rows.slice(0, Number(body.dataset.size)));
    clearTimeout(this.#counting);
    this.#counting = setTimeout(() => refresh("cards").catch(() => {}), 1_000);
  }

  async #renew() {
    if (this.table) {
      const ids = this.#isHeld() ? ["cards"] : ["cards", "rows"];
      await refresh(...ids).catch(() => {});
      return;
    }
    const fresh = await refresh().catch(() => null);
    if (fresh?.getElementById("rows")) location.reload();
  }
}

const live = document.querySelector("[data-live]");
if (live) new Live(live.dataset.live);
