// Questions to a page, evaluated by the debugger, to which its content security policy does not apply.
globalThis.look = {
  /** Return what makes the page scroll aside. */
  beyond() {
    const wide = document.documentElement.clientWidth;
    const scrolled = (element) => {
      for (let each = element.parentElement; each; each = each.parentElement)
        if (getComputedStyle(each).overflowX !== "visible") return true;
      return false;
    };
    const beyond = [...document.body.querySelectorAll("*")].filter(
      (element) => element.checkVisibility() && element.getBoundingClientRect().right > wide + 1 && !scrolled(element),
    );
    const scrolls = document.scrollingElement.scrollWidth > wide ? ["the page scrolls"] : [];
    return [...scrolls, ...beyond.map((element) => element.outerHTML.slice(0, 120))];
  },

  /** Mark what the Tab key has to come to, and return it; the innermost open dialog is all there is. */
  targets() {
    const all = 'a[href], button, input, select, textarea, summary, [tabindex], [contenteditable="true"]';
    const open = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document;
    const groups = new Set();
    const found = [...open.querySelectorAll(all)].filter((element) => {
      if (element.tabIndex < 0 || element.disabled) return false;
      if (!element.checkVisibility({ visibilityProperty: true })) return false;
      if (element.type !== "radio") return true;
      // A group of radio buttons is one stop.
      const known = groups.has(element.name);
      groups.add(element.name);
      return !known;
    });
    found.forEach((element, place) => {
      element.target = element.type === "radio" ? `radio ${element.name}` : place;
    });
    document.activeElement.blur();
    return found.map((element) => [element.target, element.outerHTML.slice(0, 120)]);
  },

  /** Return the marked element that has the focus, and whether that shows. */
  focused() {
    const element = document.activeElement;
    const target = element?.type === "radio" ? `radio ${element.name}` : element?.target;
    if (target === undefined) return null;
    const around = [element, element.closest("label"), element.parentElement].filter(Boolean);
    const shows = around.some((each) => {
      const style = getComputedStyle(each);
      return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    });
    return [target, shows];
  },

  /** Return what takes its time to change. */
  moving() {
    const milliseconds = (text) => parseFloat(text) * (text.trim().endsWith("ms") ? 1 : 1000);
    return [...document.querySelectorAll("*")]
      .filter((element) => {
        const style = getComputedStyle(element);
        const all = `${style.transitionDuration},${style.animationDuration}`.split(",");
        return Math.max(...all.map(milliseconds)) > 10;
      })
      .map((element) => element.outerHTML.slice(0, 80));
  },
};
