import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type {
  Baton,
  BatonOptions,
  Desk,
  Event,
  EventType,
  LoggedEvent,
  RunResult,
  Task,
  TaskSpec,
  Tool,
  ToolContext,
} from '@baton-sdk/core'
import {
  createBaton,
  createFileBlobStore,
  createFileEventStore,
  createLocalSandboxProvider,
  createPolicy,
  createSingleModelRouter,
  defineTool,
  isKnown,
} from '@baton-sdk/core'
import type { ModelRequest } from '@baton-sdk/core/plugin'
import type { ScriptedStep } from '@baton-sdk/core/testing'
import { eventsOf, findHistoryProblems, scriptedModel } from '@baton-sdk/core/testing'
import { z } from 'zod'
import { createCodingTools } from './coding-tools.ts'

/** One order in which an agent, people and others change files, and what has to come of it. */
export interface Interleaving {
  readonly name: string
  /**
   * Where the agent works: a copy in a sandbox of its own (the default), the folder itself, or a folder that is a git repository with one commit. In the latter two
   * somebody outside may write at any time.
   */
  readonly where?: 'copy' | 'in place' | 'repository'
  /** The files at the beginning. Default: `a.txt` of three lines. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  /** What the model answers, one step for each request; behind the last one it says that it is done. */
  readonly model: readonly (ScriptedStep | ((world: World) => ScriptedStep | Promise<ScriptedStep>))[]
  /** The same for the model of sub-tasks. */
  readonly helper?: Interleaving['model']
  /** What the tool `act` does, which is as blind to Baton as a command. */
  readonly acts?: Readonly<Record<string, (world: World, context: ToolContext) => unknown>>
  /** What else happens. Default: the task is started and runs to its end. */
  readonly people?: (world: World) => Promise<void>
  readonly options?: Partial<BatonOptions>
  readonly spec?: Partial<TaskSpec>
  /** Of a larger file the ledger keeps only the hash. */
  readonly maxFileBytes?: number
  /** All changes in the order of the log: who, what, evidence, and the candidates where it is unknown who. */
  readonly changes: readonly string[]
  /** What the model is told of others' work, by the number of the request that tells it first. */
  readonly told: Readonly<Record<number, readonly string[]>>
  /** What the text of a request says besides, and what it does not. */
  readonly says?: Readonly<Record<number, readonly RegExp[]>>
  readonly silent?: Readonly<Record<number, readonly RegExp[]>>
}

/** What came of an {@link Interleaving}. */
export interface Account {
  readonly changes: readonly string[]
  readonly told: Readonly<Record<number, readonly string[]>>
  /** What is wrong, whatever the row. */
  readonly problems: readonly string[]
}

/** A command that says where it is, and goes on when it is told to. */
export interface Gate {
  /** For a shell: waits here. */
  readonly wait: string
  /** The command has come to it. */
  reached(): Promise<void>
  open(): Promise<void>
}

/** A task on real files with the real coding tools, and everybody who works on them. */
export interface World {
  readonly task: Task
  readonly baton: Baton
  /** The workdir of the sandbox, as somebody outside sees it; the sandbox has to be there. */
  readonly dir: string
  /** Puts a file there, as an editor outside would; null takes it away. */
  put(path: string, content: string | Uint8Array | null): void
  /** Something else, by its absolute path. */
  at(path: string): string
  link(path: string, target: string): void
  rename(from: string, to: string): void
  chmod(path: string, mode: number): void
  /** git there, by somebody outside. */
  git(...args: string[]): string
  gate(): Gate
  take(who: string, options?: Parameters<Task['takeControl']>[0]): Promise<Desk>
  /** Runs a command at a desk to its end. */
  run(desk: Desk, command: string): Promise<void>
  /** A shell of somebody outside. */
  sh(command: string): void
  /** Starts the task, or joins its run, to the end. */
  finish(): Promise<RunResult>
  /** Says something, and waits for the end of the run that answers. */
  ask(text: string): Promise<void>
  /** Waits for an event, past or to come. */
  happens<T extends EventType>(type: T, where?: (data: Event<T>['data']) => boolean): Promise<Event<T>>
  /** Does something the moment the next event of a type is in the log, before anything else goes on. */
  once<T extends EventType>(type: T, act: (event: Event<T>) => void, where?: (data: Event<T>['data']) => boolean): void
  /** Waits for an event of the sub-task. */
  beneath(type: EventType): Promise<void>
  /** Something that goes on beside; its failure is the row's. */
  background(work: Promise<unknown>): void
  /** For what one part of a row leaves for another. */
  readonly keep: Map<string, unknown>
  /** Another process on the same store, as somebody's editor would be. */
  other(): Promise<Task>
  /** Lets go of everything, and opens it again as another process would. */
  reopen(): Promise<void>
}

/** A reply that calls tools. */
export function calls(...list: readonly (readonly [tool: string, input?: object])[]): ScriptedStep {
  return { toolCalls: list.map(([tool, input = {}]) => ({ tool, input })) }
}

export const shell = (command: string, more: object = {}): readonly [string, object] => ['shell', { command, ...more }]
export const write = (path: string, content: string): readonly [string, object] => ['write', { path, content }]
export const edit = (path: string, oldText: string, newText: string): readonly [string, object] => [
  'edit',
  { path, edits: [{ oldText, newText }] },
]
export const act = (name: string): readonly [string, object] => ['act', { name }]

const ActInput = z.strictObject({ name: z.string() })

/** Plays a row from its beginning to its end, then asks twice more, once in a process of its own, and looks at everything. */
export async function play(row: Interleaving): Promise<Account> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'baton-interleaving-')))
  const batons: Baton[] = []
  try {
    return await playIn(root, row, batons)
  } finally {
    await Promise.all(batons.map((baton) => baton.close()))
    rmSync(root, { recursive: true, force: true })
  }
}

async function playIn(root: string, row: Interleaving, batons: Baton[]): Promise<Account> {
  const where = row.where ?? 'copy'
  const workspace = join(root, 'workspace')
  mkdirSync(workspace)
  for (const [path, content] of Object.entries(row.files ?? { 'a.txt': 'one\ntwo\nthree\n' })) put(join(workspace, path), content)
  const git = (...args: string[]): string => runGit(workspace, args)
  if (where === 'repository') {
    git('init', '-q', '-b', 'main')
    git('add', '-A')
    git('commit', '-q', '--allow-empty', '-m', 'first')
  }
  const requests: ModelRequest[] = []
  const below: ModelRequest[] = []
  let gitState = stateOfGit(workspace)
  const beside: Promise<string | undefined>[] = []
  let gates = 0
  let dir: string | undefined
  const ledgerDir = join(root, 'ledger')
  const at = (path: string): string => {
    if (dir === undefined) throw new Error('the sandbox is not there yet')
    return join(dir, path)
  }

  const actTool: Tool<z.infer<typeof ActInput>, string> = defineTool({
    name: 'act',
    description: 'Does something.',
    input: ActInput,
    effect: 'execute',
    async run({ name }, context) {
      await row.acts?.[name]?.(world, context)
      return `did ${name}`
    },
  })
  const open = (): Baton => {
    const model = scriptedModel(async (request: ModelRequest) => {
      const own = request.cacheKey === world.task.id
      const made = own ? requests : below
      const step = (own ? row.model : row.helper)?.[made.push({ ...request, messages: [...request.messages] }) - 1] ?? { text: 'done' }
      return typeof step === 'function' ? step(world) : step
    })
    const baton = createBaton({
      router: createSingleModelRouter(model),
      store: createFileEventStore({ dir: join(root, 'log') }),
      blobs: createFileBlobStore({ dir: join(root, 'blobs') }),
      ledger: { dir: ledgerDir, ...(row.maxFileBytes !== undefined && { maxFileBytes: row.maxFileBytes }) },
      sandboxes: [createLocalSandboxProvider({ isolation: 'none', root: join(root, 'sandboxes') })],
      tools: [...createCodingTools(), actTool],
      policy: createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] }),
      ...row.options,
    })
    batons.push(baton)
    return baton
  }

  const world = {
    baton: open(),
    get dir() {
      return at('')
    },
    at,
    put: (path: string, content: string | Uint8Array | null) => put(at(path), content),
    link(path: string, target: string) {
      rmSync(at(path), { force: true })
      symlinkSync(target, at(path))
    },
    rename: (from: string, to: string) => renameSync(at(from), at(to)),
    chmod: (path: string, mode: number) => chmodSync(at(path), mode),
    git(...args: string[]) {
      const text = runGit(at(''), args)
      gitState = stateOfGit(workspace)
      return text
    },
    gate: () => makeGate(join(root, `gate-${++gates}`)),
    take: (who: string, options = {}) => world.task.as({ kind: 'human', id: who }).takeControl(options),
    async run(desk: Desk, command: string) {
      await (await desk.sandbox.spawn(command)).exit
    },
    sh: (command: string) => void execFileSync('bash', ['-c', command], { cwd: at('') }),
    finish: () => world.task.start().result,
    async ask(text: string) {
      const { seq } = world.task.summary
      await world.task.send(text)
      await world.happens('run.finished', () => true, seq)
    },
    async happens<T extends EventType>(type: T, where: (data: Event<T>['data']) => boolean = () => true, after = 0): Promise<Event<T>> {
      for await (const event of world.task.events({ after }))
        if (isKnown(event) && event.type === type && where(event.data as never)) return event as Event as Event<T>
      throw new Error(`the task was closed, and there was no ${type}`)
    },
    once<T extends EventType>(type: T, act: (event: Event<T>) => void, where: (data: Event<T>['data']) => boolean = () => true) {
      const off = world.task.on(type, (event) => {
        if (!where(event.data)) return
        off()
        act(event)
      })
    },
    async beneath(type: EventType) {
      const { data } = await world.happens('task.delegated')
      const child = await world.baton.openTask(data.childId, { as: 'observer' })
      for await (const event of child.events()) if (event.type === type) return
    },
    background: (work: Promise<unknown>) =>
      void beside.push(
        work.then(
          () => undefined,
          (error: unknown) => String(error),
        ),
      ),
    keep: new Map<string, unknown>(),
    other: () => open().openTask(world.task.id, { as: 'observer' }),
    async reopen() {
      await world.baton.close()
      world.baton = open()
      world.task = await world.baton.openTask(world.task.id)
    },
  } as World & { baton: Baton; task: Task; happens(type: EventType, where: () => boolean, after: number): Promise<Event> }
  const inPlace = where !== 'copy'
  world.task = await world.baton.createTask({ goal: 'Go', workspace: { path: workspace, inPlace }, ...row.spec } as TaskSpec)
  world.task.on('sandbox.started', ({ data }) => {
    dir = data.workdir
  })
  if (inPlace) dir = workspace

  await (row.people ? row.people(world) : world.finish())
  await world.ask('And now?')
  const before = { summary: world.task.summary, events: await eventsOf(world.task) }
  await world.reopen()
  const problems = comparedAfterOpening(before, { summary: world.task.summary, events: await eventsOf(world.task) })
  await world.ask('Again?')
  if (stateOfGit(workspace) !== gitState) problems.push("the workspace's own repository was written to")
  const events = await eventsOf(world.task)
  problems.push(...(await Promise.all(beside)).filter((problem) => problem !== undefined))
  problems.push(...(await findHistoryProblems({ task: world.task, ledgerDir, workdir: world.dir })), ...promptProblems(requests, events))
  const told = Object.fromEntries(
    requests.map((_, index) => [index + 1, toldIn(requests, index)] as const).filter(([, lines]) => lines.length > 0),
  )
  const changes = [...changesOf(events), ...(await changesBelow(world.baton, events))]
  return { changes, told, problems: [...problems, ...wordingProblems(row, requests)] }
}

function put(path: string, content: string | Uint8Array | null): void {
  if (content === null) rmSync(path, { recursive: true })
  else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
}

const gatePattern = /echo > '[^']*-in'; read -r _ < '[^']*-out'/g

function makeGate(path: string): Gate {
  execFileSync('bash', ['-c', 'mkfifo "$0-in" "$0-out"', path])
  return {
    wait: `echo > '${path}-in'; read -r _ < '${path}-out'`,
    reached: async () => void (await readFile(`${path}-in`)),
    open: () => writeFile(`${path}-out`, '\n'),
  }
}

function runGit(cwd: string, args: readonly string[]): string {
  const who = {
    GIT_AUTHOR_NAME: 'Olga',
    GIT_AUTHOR_EMAIL: 'o@example.org',
    GIT_COMMITTER_NAME: 'Olga',
    GIT_COMMITTER_EMAIL: 'o@example.org',
  }
  const env = { ...process.env, ...who, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  return execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trimEnd()
}

/** HEAD, the index, refs, reflogs, settings and objects of a repository, by name and content. */
function stateOfGit(folder: string): string {
  const hash = createHash('sha256')
  let entries: string[] = []
  try {
    entries = readdirSync(join(folder, '.git'), { recursive: true, encoding: 'utf8' }).sort()
  } catch {
    // None.
  }
  for (const entry of entries) {
    const path = join(folder, '.git', entry)
    const stats = lstatSync(path)
    hash.update(`${entry}\0${stats.mode}\0`)
    if (stats.isFile()) hash.update(readFileSync(path))
    if (stats.isSymbolicLink()) hash.update(readlinkSync(path))
  }
  return hash.digest('hex')
}

function changesOf(events: readonly LoggedEvent[]): string[] {
  return events.flatMap((event) => {
    if (!isKnown(event) || event.type !== 'file.changed') return []
    const { path, change, evidence, candidates } = event.data
    return [`${event.actor.id} ${change} ${JSON.stringify(path).slice(1, -1)} ${evidence}${candidates ? ` [${candidates.join(' ')}]` : ''}`]
  })
}

async function changesBelow(baton: Baton, events: readonly LoggedEvent[]): Promise<string[]> {
  const changes: string[] = []
  for (const event of events) {
    if (!isKnown(event) || event.type !== 'task.delegated') continue
    const child = await baton.openTask(event.data.childId, { as: 'observer' })
    changes.push(...changesOf(await eventsOf(child)).map((line) => `below: ${line}`))
  }
  return changes
}

interface Opened {
  readonly summary: Task['summary']
  readonly events: readonly LoggedEvent[]
}

/** A log that is opened again is the same task. */
function comparedAfterOpening(before: Opened, after: Opened): string[] {
  const withoutDriver = ({ summary }: Opened): string => JSON.stringify({ ...summary, seq: 0, updatedAt: '', driver: undefined })
  const events = ({ events: list }: Opened): string => JSON.stringify(list.slice(0, before.events.length))
  return [
    ...(events(before) === events(after) ? [] : ['the log is another one when it is opened again']),
    ...(withoutDriver(before) === withoutDriver(after)
      ? []
      : [`the task is another one when it is opened again: ${withoutDriver(before)} ${withoutDriver(after)}`]),
  ]
}

const isTold = /^What others did in the sandbox since your last step:\n/

/** Each prompt begins with the one before it, and all that others changed is in the last one once. */
function promptProblems(requests: readonly ModelRequest[], events: readonly LoggedEvent[]): string[] {
  const problems = requests.flatMap((request, index) => {
    const earlier = JSON.stringify(requests[index - 1]?.messages ?? [])
    return JSON.stringify(request.messages).startsWith(earlier.slice(0, -1))
      ? []
      : [`request ${index + 1} does not begin with the one before it`]
  })
  const last = requests.at(-1)
  const shown = linesOf(last ? tellings(last, 0) : []).filter((line) => / (created|modified|deleted)$/.test(line))
  const outside = events.flatMap((event) => {
    if (!isKnown(event) || event.type !== 'file.changed') return []
    const own = event.actor.kind === 'agent' && event.actor.id === 'coder'
    return own || event.data.evidence === 'tool' ? [] : [`${JSON.stringify(event.data.path).slice(1, -1)} ${event.data.change}`]
  })
  const paths = shown.map((line) => line.slice(line.indexOf(' ') + 1))
  if (paths.sort().join('\n') !== outside.sort().join('\n'))
    problems.push(`others changed ${outside.join(', ')}; told is ${paths.join(', ')}`)
  return problems
}

function wordingProblems({ says = {}, silent = {} }: Interleaving, requests: readonly ModelRequest[]): string[] {
  const textAt = (number: string): string => textOf(requests[Number(number) - 1] as ModelRequest)
  const missing = Object.entries(says).flatMap(([at, patterns]) => patterns.filter((pattern) => !pattern.test(textAt(at))))
  const found = Object.entries(silent).flatMap(([at, patterns]) => patterns.filter((pattern) => pattern.test(textAt(at))))
  return [...missing.map((pattern) => `nothing says ${pattern}`), ...found.map((pattern) => `something says ${pattern}`)]
}

function tellings({ messages }: ModelRequest, from: number): string[] {
  return messages
    .slice(from)
    .flatMap((message) => (message.role === 'user' ? message.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])) : []))
    .filter((text) => isTold.test(text))
}

function toldIn(requests: readonly ModelRequest[], index: number): string[] {
  const request = requests[index]
  return request ? linesOf(tellings(request, requests[index - 1]?.messages.length ?? 0)) : []
}

/** One short line for each thing that is told. */
function linesOf(texts: readonly string[]): string[] {
  let who = ''
  return texts.flatMap((text) =>
    text.split('\n').flatMap((line) => {
      const control = /^(.+) had control of the sandbox, .* and (gave it back|did not give it back)/.exec(line)
      if (control) return [`${control[1]} ${control[2]}`]
      const heading = headings.find(([pattern]) => pattern.test(line))
      if (heading) {
        who = line
          .replace(...heading)
          .replaceAll('a command of yours', 'own')
          .replaceAll('somebody else', 'somebody')
          .replaceAll('the checks', 'checks')
          .replaceAll(' or ', '|')
        return []
      }
      const file = /^- (.+) \((created|modified|deleted)[,)]/.exec(line)
      if (file) return [`${who} ${file[1]} ${file[2]}`]
      if (who === 'ran' && line.startsWith('- ')) return [line.replace('- ', 'ran ').replaceAll(gatePattern, '(gate)')]
      if (who === 'git' && line.startsWith('- '))
        return [line.replace('- ', 'git ').replace(/ \([^)]*, [0-9a-f]{10} → [0-9a-f]{10}\)$/, '')]
      return []
    }),
  )
}

const headings: readonly (readonly [RegExp, string])[] = [
  [/^Files changed by somebody else.*$/, 'somebody'],
  [/^Files changed by (.+); which of them is not known:$/, '[$1]'],
  [/^Files changed by (.+):$/, '$1'],
  [/^Commands they ran:$/, 'ran'],
  [/^What happened in git:$/, 'git'],
]

function textOf({ messages }: ModelRequest): string {
  return messages
    .map((message) =>
      message.role === 'user' ? message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('') : message.text,
    )
    .join('\n')
}
