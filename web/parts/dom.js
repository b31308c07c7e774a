// Elements without HTML in strings: text is never parsed.

// byId returns the element of the page with an id.
export const byId = (id) => document.getElementById(id);

// el makes an element: el("div.card#main", {onclick: f, "aria-label": "x", text: "words"}, ...children).
export function el(what, attributes, ...children) {
  const [, name, rest] = /^([a-z0-9]+)(.*)$/.exec(what);
  const node = document.createElement(name);
  for (const part of rest.match(/[.#][^.#]+/g) ?? []) {
    if (part[0] === "#") node.id = part.slice(1);
    else node.classList.add(part.slice(1));
  }
  if (attributes instanceof Node || typeof attributes === "string") {
    children.unshift(attributes);
    attributes = null;
  }
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// fill replaces an element's children.
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined));
  return parent;
}

// put sets an element's text if it is another: nothing is laid out or read aloud again for the same.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

// bars shows parts of a whole as rows with bars: [{name, value, share, of}], share from 0 to 1, of a colour.
export function bars(parent, parts) {
  return fill(
    parent,
    parts.map(({ name, value, share, of }) => {
      const bar = el("span.bar");
      bar.style.width = `${(100 * Math.max(0.003, Math.min(1, share))).toFixed(2)}%`;
      if (of !== undefined) bar.style.background = `var(--c${of % 10})`;
      return el("div.part", el("span.name", { text: name }), el("span.value", { text: value }), el("span.track", bar));
    }),
  );
}
