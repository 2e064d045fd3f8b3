import type * as nodeFs from 'node:fs'
import { appendFileSync, closeSync, fsyncSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { relative } from 'node:path'
import type { BlobStore } from '../../events/blob-store.ts'
import type { EventStore } from '../../events/event-store.ts'
import type { Model } from '../../models/model.ts'
import type { Sandbox, SandboxProvider } from '../../sandbox/sandbox.ts'
import type { Tool } from '../../tools/tool.ts'

/** Counts the places between an append and a side effect that a process comes by, and kills it at one of them. */
export interface CrashPoints {
  readonly count: number
  /** A place. Does not return where the process is to die here. */
  reach(label: string): void
  /** Places before and after some work. */
  around<T>(label: string, work: () => Promise<T>): Promise<T>
}

/** The files by which others see that the process is about to die, and where it did. */
export interface CrashFiles {
  readonly deaths: string
  readonly dying: string
}

/**
 * @param killAt - number of the place to die at, from 1; its label is left in the file of deaths. From the place before it on there is a file that
 * says so: what is appended between the two is seen by nobody who does not know.
 * @param options - `from`: the label of the first place that counts. `distinct`: a place before some work counts only where it is not one after other work,
 * since between the two nothing is different
 */
export function createCrashPoints(killAt: number | undefined, files: CrashFiles, { from = '', distinct = false } = {}): CrashPoints {
  let count = 0
  let begun = from === ''
  let last = ''
  function reach(label: string): void {
    begun ||= label === from
    const isSame = distinct && last.startsWith('after ') && label.startsWith('before ')
    last = label
    if (!begun || isSame) return
    count++
    if (killAt !== undefined && count === killAt - 1) writeFileSync(files.dying, '')
    if (count !== killAt) return
    appendFileSync(files.deaths, `${label}\n`)
    rmSync(files.dying, { force: true })
    process.kill(process.pid, 'SIGKILL')
  }
  return {
    get count() {
      return count
    },
    reach,
    async around(label, work) {
      reach(`before ${label}`)
      const result = await work()
      reach(`after ${label}`)
      return result
    },
  }
}

/** Adds a line to a file and syncs it, so that it outlives whatever comes next. */
export function noteDurably(file: string, line: string): void {
  const fd = openSync(file, 'a')
  writeSync(fd, `${line}\n`)
  fsyncSync(fd)
  closeSync(fd)
}

/** An append is a place, and the ids of what it acknowledged go to a file. */
export function watchStore(store: EventStore, points: CrashPoints, acknowledged: string): EventStore {
  return {
    ...store,
    append: (taskId, events, options) =>
      points.around(`append of ${events.map(({ type }) => type).join(' + ')}`, async () => {
        await store.append(taskId, events, options)
        noteDurably(acknowledged, events.map(({ id }) => id).join('\n'))
      }),
  }
}

/** Each put is a place. */
export function watchBlobs(blobs: BlobStore, points: CrashPoints): BlobStore {
  return { ...blobs, put: (data, options) => points.around('put of a blob', () => blobs.put(data, options)) }
}

/** Sending a request is a place, and its reply's end. */
export function watchModel(model: Model, points: CrashPoints): Model {
  return {
    ...model,
    async *generate(request, options) {
      points.reach('before the send of a model call')
      yield* model.generate(request, options)
      points.reach('after the end of a model reply')
    },
  }
}

/** Starting, finding, filling and closing a sandbox are places; with `files`, so are writing a file and starting a command. */
export function watchSandboxes(provider: SandboxProvider, points: CrashPoints, { files = false } = {}): SandboxProvider {
  const watched = (sandbox: Sandbox): Sandbox => ({
    ...sandbox,
    ...(files && {
      writeFile: (path, data, options) => points.around(`write of ${path}`, () => sandbox.writeFile(path, data, options)),
      spawn: (command, options) => points.around('start of a command', () => sandbox.spawn(command, options)),
    }),
    unpack: (tar, options) => points.around('unpack', () => sandbox.unpack(tar, options)),
    close: () => points.around('close of the sandbox', () => sandbox.close()),
  })
  return {
    ...provider,
    create: (spec, options) => points.around('create of a sandbox', async () => watched(await provider.create(spec, options))),
    attach: (id, options) => points.around('attach of a sandbox', async () => watched(await provider.attach(id, options))),
  }
}

/** Running a tool is a place. */
export function watchTool(tool: Tool, points: CrashPoints): Tool {
  return { ...tool, run: (input, context) => points.around(`run of ${tool.name}`, () => tool.run(input, context)) }
}

/** What a ledger puts in its place is a place: the parts of a commit, and the ref of a task. Everything else that it writes is aside until then. */
export function watchLedger(dir: string, points: CrashPoints): void {
  const fs = createRequire(import.meta.url)('node:fs') as typeof nodeFs
  const { renameSync } = fs
  Object.assign(fs, {
    renameSync(from: string, to: string) {
      const path = relative(dir, String(to))
      const kind = path.startsWith('refs') ? "a task's ref" : (/(pack|idx)$/.exec(path)?.[1] ?? path)
      if (path.startsWith('..')) return renameSync(from, to)
      points.reach(`before ${kind} is put in its place`)
      renameSync(from, to)
      points.reach(`after ${kind} was put in its place`)
    },
  })
  syncBuiltinESMExports()
}
