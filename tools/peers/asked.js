// @ts-check
// A contender that is a program in WebAssembly and takes commands: see tools/stock-burn/Cargo.toml.

/** @import { Contender } from "./model.js" */
/** @typedef {{answer: (command: string) => Promise<string>}} Program */

/** @param {Promise<Program>} opening @param {(program: any, task: string) => boolean} [prepared] whether it was prepared in another way @returns {Contender} */
export function asked(opening, prepared = () => false) {
  const ask = async (/** @type {string} */ command) => {
    const answer = JSON.parse(await (await opening).answer(command));
    if (answer.error) throw new Error(answer.error);
    return answer;
  };
  return {
    async prepare(task) {
      if (typeof task !== "string") throw new Error("only tasks that have a name");
      if (!prepared(await opening, task)) await ask(`prepare ${task}`);
    },
    step: async () => (await ask("step")).loss,
  };
}
