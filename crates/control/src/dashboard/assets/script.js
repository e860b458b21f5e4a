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

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it by hand";
    }
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
