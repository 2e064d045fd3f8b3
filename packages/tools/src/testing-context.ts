import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Sandbox, Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { createLocalSandboxProvider } from '@baton-sdk/core'

/** What a tool added to the log. */
type ToolRecord = Parameters<ToolContext['record']>[0]

/** A task's surroundings for a test of tools: a real local sandbox, and lists of what the tools did besides. */
export interface TestingContext {
  /** The workdir on the host. */
  readonly dir: string
  readonly sandbox: Sandbox
  readonly memory: Map<string, unknown>
  readonly records: ToolRecord[]
  /** Live output. */
  readonly live: { stream: 'stdout' | 'stderr'; text: string }[]
  readonly questions: { question: string; options: readonly string[] | undefined }[]
  /** Answers for `ask`, in order. */
  readonly answers: string[]
  /** Whole outputs by call id. */
  readonly outputs: Map<string, Uint8Array>
  /** Runs a tool as core would, the input parsed by its schema. */
  call<I>(tool: Tool<I, ToolOutput>, input: object, changes?: Partial<ToolContext>): Promise<ToolOutput>
  /** Puts a file there, behind the tools' back. */
  put(path: string, content: string | Uint8Array): Promise<void>
  /** A file's content as it is on the disk. */
  get(path: string): Promise<string>
  close(): Promise<void>
}

/** Makes a {@link TestingContext}; `sandbox` may wrap the sandbox, to interfere with it. */
export async function createTestingContext(
  options: { readonly env?: Readonly<Record<string, string>>; readonly wrap?: (sandbox: Sandbox) => Sandbox } = {},
): Promise<TestingContext> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'baton-tools-')))
  const dir = join(root, 'work')
  await mkdir(dir)
  const provider = createLocalSandboxProvider({ root: join(root, 'sandboxes'), isolation: 'none' })
  const inner = await provider.create({ inPlace: dir, ...(options.env && { env: { ...options.env } }) })
  const sandbox = options.wrap?.(inner) ?? inner
  const surroundings = {
    memory: new Map<string, unknown>(),
    records: [] as ToolRecord[],
    live: [] as TestingContext['live'],
    questions: [] as TestingContext['questions'],
    answers: [] as string[],
    outputs: new Map<string, Uint8Array>(),
  }
  let calls = 0
  const contextOf = (changes: Partial<ToolContext> = {}): ToolContext => ({
    taskId: 'task',
    callId: `call-${++calls}`,
    signal: new AbortController().signal,
    memory: surroundings.memory,
    maxOutputBytes: 16 * 1024,
    sandbox: async () => sandbox,
    output: (stream, text) => void surroundings.live.push({ stream, text }),
    record: async (record) => void surroundings.records.push(record),
    ask: async (question, { options: offered } = {}) => {
      surroundings.questions.push({ question, options: offered })
      return surroundings.answers.shift() ?? ''
    },
    wholeOutput: async (callId) => surroundings.outputs.get(callId),
    ...changes,
  })
  return {
    ...surroundings,
    dir,
    sandbox,
    call: (tool, input, changes) => tool.run(tool.input.parse(input), contextOf(changes)),
    async put(path, content) {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), content)
    },
    get: (path) => readFile(join(dir, path), 'utf8'),
    async close() {
      await sandbox.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

/** Whether a component that a test needs is missing, and may be: where `BATON_REQUIRE` names it, the test runs and fails. */
export function lacks(name: string, there: boolean): boolean {
  return !there && !process.env.BATON_REQUIRE?.split(',').includes(name)
}
