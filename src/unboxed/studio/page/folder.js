// The thumbnails of the images in the folder, to choose one from.

import { getJson, pictureUrl } from "./api.js";
import { $, create, formatCount } from "./elements.js";

const PAGE = 60;

export class FolderView {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.chosen = null;
    $("folder").hidden = false;
    $("folder-more").onclick = () => this.load(false);
    let timer = 0;
    $("folder-filter").oninput = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.load(true), 250);
    };
    this.load(true);
  }

  async load(anew) {
    const start = anew ? 0 : $("folder-images").children.length;
    const { photos, total } = await getJson("api/photos", { start, count: PAGE, name: $("folder-filter").value }).catch(() => ({ photos: [], total: 0 }));
    const items = photos.map(({ id, name }) => {
      const thumbnail = create("img", { src: pictureUrl(id, "thumbnail"), alt: name, loading: "lazy", decoding: "async" });
      const button = create("button", { type: "button", title: name, "aria-pressed": String(id === this.chosen) }, thumbnail);
      button.dataset.id = id;
      button.onclick = () => this.onChoose({ id, name });
      return create("li", {}, button);
    });
    if (anew) $("folder-images").replaceChildren(...items);
    else $("folder-images").append(...items);
    $("folder-more").hidden = $("folder-images").children.length >= total;
    $("folder-count").textContent = formatCount(total, "image");
  }

  /** Marks the thumbnail of the image that is shown. */
  markChosen(id) {
    this.chosen = id;
    for (const button of $("folder-images").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.id === id));
  }
}
