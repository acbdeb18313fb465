// What crates/evenkeel-web/src/bin/page.rs exports once trunk has built it. For `npm run check` alone.

export default function init(): Promise<unknown>;

export class Session {
  constructor(onEvent: (event: any) => void);
  send(command: any): void;
  restart(): void;
  free(): void;
}
