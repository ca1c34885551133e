// Making elements, and finding those of the page.

export const $ = (id) => document.getElementById(id);

/** An element with properties, attributes (names with a dash, `role`) and children; text is always text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An SVG element with attributes. */
export function draw(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Gives an element a phrase's colours. */
export function paint(element, [colour, ink]) {
  element.style.setProperty("--colour", colour);
  element.style.setProperty("--ink", ink);
  return element;
}

/** A message in an alert of the page, with what can be done about it; nothing hides the alert. */
export function alarm(alert, message = "", action = null) {
  alert.replaceChildren(message);
  if (action) alert.append(" ", make("button", { type: "button", className: "link", textContent: action.label, onclick: action.run }));
  alert.hidden = !message;
}

export const number = (value) => value.toLocaleString("en");

/** “1 box”, “2 boxes”. */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
