// Light, dark, or as the system has it. What was chosen is kept where the browser lets a page keep things.
import { el, put } from "./dom.js";

const key = "gpt2wgpu-theme";
const themes = ["auto", "light", "dark"];

function kept() {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // the browser forbids it
  }
}

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

// themeButton returns a button that goes round the themes, and applies the one that was kept.
export function themeButton() {
  let theme = themes.includes(kept()) ? kept() : "auto";
  const button = el("button.button.quiet", { type: "button" });
  const show = () => {
    apply(theme);
    put(button, { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme]);
    button.setAttribute("aria-label", `Colours: ${theme}`);
  };
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try {
      localStorage.setItem(key, theme);
    } catch {
      /* the browser forbids it */
    }
    show();
  });
  show();
  return button;
}
