/** What a contestant is given: one conversation's length, and where the model is. */
export interface Setup {
  /** Of the scripted server, with `/v1`. */
  readonly baseUrl: string
  /** The server answers by it: `steps-20` calls `add` twenty times and then says so. */
  readonly model: string
  /** Tool calls of one task. */
  readonly steps: number
  /** Tasks at once. */
  readonly concurrency: number
  /** An empty folder of its own. */
  readonly dir: string
  /** What the tool does. Every contestant's tool calls it, so that it can be counted. */
  add(input: { readonly a: number; readonly b: number }): number
}

/** A contestant that is ready to run tasks. */
export interface Subject {
  /** Runs one task to its end and returns the model's last words. */
  run(): Promise<string>
  close?(): Promise<void>
}

/** A task that waits for a person, and what an application has to hold on to meanwhile. */
export interface WaitingSubject {
  /** Brings one task to where it waits. The result is kept. */
  begin(): Promise<unknown>
  close?(): Promise<void>
}

/** One way to run the same loop of model calls and tool calls. */
export interface Contestant {
  /** In tables. */
  readonly label: string
  /** npm packages whose versions are printed. */
  readonly packages: readonly string[]
  /** Which call of it is measured, and whether it streams. */
  readonly path: string
  open(setup: Setup): Subject | Promise<Subject>
  /** Where there is the notion of a task that waits for approval of a tool call. */
  openWaiting?(setup: Setup): WaitingSubject | Promise<WaitingSubject>
}

/** What every contestant tells its model. */
export const instructions = 'You add numbers. Call the tool once for each pair, and say when you are done.'
export const goal = 'Add the pairs that come up, one after the other.'
export const toolName = 'add'
export const toolDescription = 'Adds two numbers.'
/** Input of the tool, for contestants that take JSON Schema. */
export const toolParameters = {
  type: 'object' as const,
  properties: { a: { type: 'number' as const }, b: { type: 'number' as const } },
  required: ['a', 'b'] as ('a' | 'b')[],
  additionalProperties: false as const,
}
