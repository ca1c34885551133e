// The ways to choose an image: a file of the dialog, a drop anywhere on the page, a paste.

import { $ } from "./elements.js";

/** Calls `onFile` with each file that is chosen. */
export function listenForFiles(onFile) {
  listenToDialog(onFile);
  listenToDrops(onFile);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) onFile(file);
  });
}

function listenToDialog(onFile) {
  $("choose-file").onclick = $("choose-file-link").onclick = () => $("file").click();
  $("file").onchange = () => {
    if ($("file").files.length) onFile($("file").files[0]);
    $("file").value = "";
  };
}

function listenToDrops(onFile) {
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0; // of the elements that the pointer has entered
  const enter = (change) => {
    depth = Math.max(0, depth + change);
    $("stage").classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", (event) => hasFile(event) && enter(1));
  document.addEventListener("dragleave", (event) => hasFile(event) && enter(-1));
  document.addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    enter(-depth);
    $("main").dispatchEvent(new CustomEvent("showview", { detail: "ground" }));
    if (event.dataTransfer.files.length) onFile(event.dataTransfer.files[0]);
  });
}
