// @ts-check
// Getting about: the list of stations follows what is on screen, and the address follows the list.

/** @import { App } from "./kit.js" */

/** By then every panel above has been drawn. */
const SETTLED_MS = 2000;

/** @param {HTMLElement} nav @param {App} app */
export function followStations(nav, { settings }) {
  const links = [...nav.querySelectorAll("a")];
  const sections = links.map((link) => /** @type {HTMLElement} */ (document.querySelector(String(link.getAttribute("href")))));
  const show = (/** @type {number} */ index) => {
    links.forEach((link, i) => (i === index ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    // The list scrolls on a narrow screen; scrollIntoView would move the page too.
    const link = links[index];
    const list = link.closest("ol");
    if (list) list.scrollLeft = link.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
    if (settings.address.station !== sections[index].id) settings.set({ station: sections[index].id });
  };
  links.forEach((link, i) =>
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go(sections[i]);
      // The reader goes where the eye goes.
      const heading = sections[i].querySelector("h2");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus({ preventScroll: true });
    }),
  );
  const asked = sections.find(({ id }) => id === settings.address.station);
  if (asked) requestAnimationFrame(() => go(asked));
  // A station is current when it crosses a line in the upper third of the screen.
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting) show(sections.indexOf(/** @type {HTMLElement} */ (target)));
    },
    { rootMargin: "-30% 0px -69% 0px" },
  );
  for (const section of sections) observer.observe(section);
}

/** Scrolls to `section` and stays there while panels above it are drawn for the first time and grow. @param {HTMLElement} section */
function go(section) {
  const hold = () => section.scrollIntoView();
  const growing = new ResizeObserver(hold);
  const release = () => growing.disconnect();
  hold();
  growing.observe(section.parentElement ?? section);
  for (const act of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(act, release, { once: true, passive: true });
  setTimeout(release, SETTLED_MS);
}

/** Takes what the teacher hides off the page. @param {App} app */
export function hideControls({ settings }) {
  settings.listen(({ hide }) => {
    for (const element of document.querySelectorAll("[data-control]")) {
      element.classList.toggle("hidden-by-teacher", hide.includes(String(element.getAttribute("data-control"))));
    }
  });
}
