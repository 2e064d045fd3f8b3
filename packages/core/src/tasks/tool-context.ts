import { BatonError } from '../errors.ts'
import type { Event, EventDraft } from '../events/event.ts'
import { isBuiltIn } from '../events/event-registry.ts'
import type { ToolCall, ToolContext, ToolRecord } from '../tools/tool.ts'
import { ask } from './questions.ts'
import type { ActiveRun } from './run-context.ts'
import type { TaskRuntime } from './runtime.ts'

/** All that a tool may add: the rest of the log is not its own to write. */
const recordable: ReadonlySet<ToolRecord['type']> = new Set(['file.changed', 'command.started', 'command.finished', 'warning.raised'])

/** What a tool has around it. `cause` is the event that its own events answer. */
export function createToolContext(active: ActiveRun, call: ToolCall, cause: string | undefined): ToolContext {
  const { runtime, memory, sandbox, snapshots, signal } = active
  let asked = 0
  return {
    taskId: runtime.id,
    callId: call.callId,
    signal,
    memory,
    maxOutputBytes: runtime.parts.maxToolOutputBytes,
    sandbox: () => sandbox.get(signal),
    output(stream, text) {
      if (!runtime.stream.watched) return
      runtime.stream.sendLive({
        taskId: runtime.id,
        after: runtime.stream.lastSeq,
        cause: cause ?? call.callId,
        type: 'command.output',
        data: { stream, text },
      })
    },
    async record(record) {
      requireRecordable(record)
      await runtime.drive([{ ...record, actor: runtime.agentActor, cause } as EventDraft])
      if (record.type === 'file.changed' && runtime.parts.ledger)
        await snapshots.note(await sandbox.get(signal), record.data.path, record.data.after)
    },
    ask: (question, options) => ask(active, question, { key: `${call.callId}/${asked++}`, callId: call.callId, ...options }),
    wholeOutput: (callId) => readWhole(runtime, callId),
  }
}

/** @throws BatonError `INVALID_OPTIONS` for what is not a tool's to say */
export function requireRecordable({ type }: ToolRecord): void {
  if (!isBuiltIn(type) || recordable.has(type)) return
  const allowed = [...recordable, 'types that a plugin has registered'].join(', ')
  throw new BatonError('INVALID_OPTIONS', `record: type: a tool may record ${allowed}, and not ${JSON.stringify(type)}.`)
}

async function readWhole({ state, stream, parts }: TaskRuntime, callId: string): Promise<Uint8Array | undefined> {
  const seq = state.calls.get(callId)?.finishedSeq
  if (seq === undefined) return undefined
  for await (const event of stream.read({ after: seq - 1, limit: 1 })) {
    if (event.type !== 'tool.finished') break
    const { data } = event as Event<'tool.finished'>
    return data.whole ? parts.blobs.get(data.whole) : Buffer.from(data.output)
  }
  return undefined
}
