// The page by axe-core's rules (WCAG 2 A and AA, and best practices), in both languages and themes, with a whole lesson on it: the recording that
// the page comes with, played where there is no WebGPU, as such a browser's visitor sees it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { drawAll, playToTheEnd, recording } from "./support/recorded.mjs";
import { becomes, speak } from "./support/visitor.mjs";

const AXE = readFileSync(new URL("../../web/node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

test("axe finds nothing to complain about", async (t) => {
  const session = await open({ files: recording(), gpu: false, bypassCSP: true });
  const { page, browser } = session;
  t.after(() => browser.close());
  await playToTheEnd(page);
  await page.addScriptTag({ content: AXE });
  for (const language of /** @type {const} */ (["en", "zh"])) {
    await speak(page, language);
    await becomes(() => page.locator("html").getAttribute("lang"), language === "en" ? "en" : "zh-CN", "the language");
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      await t.test(`${language}, ${colorScheme}`, async () => {
        await page.emulateMedia({ colorScheme });
        await drawAll(page);
        const { violations, passes } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
        assert.ok(passes.length > 20, "axe looked at the page");
        const told = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 5).map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("\n  ")}`);
        assert.deepEqual(told, []);
      });
    }
  }
  await session.close();
});
