import type { Sandbox, ToolContext, ToolOutput } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import type { FileDiff } from '@baton-sdk/core/plugin'
import { diffTexts } from '@baton-sdk/core/plugin'
import { failed } from './failure.ts'
import type { FileContent } from './file-content.ts'
import { contentOf, readContent } from './file-content.ts'
import type { SeenFile } from './seen-files.ts'
import { seenFiles } from './seen-files.ts'
import { showPath } from './tool-paths.ts'

/** Most bytes of a difference in an event. */
const maxEventDiffBytes = 64 * 1024
/** Most bytes of a difference in a text for the model. */
const maxShownDiffBytes = 12 * 1024
/** Room for the words around it. */
const wordsBytes = 600

/** A file that a tool is about to change. */
export interface FileChange {
  readonly sandbox: Sandbox
  /** Normalised. */
  readonly path: string
  /** What is there; undefined where there is nothing. */
  readonly before: FileContent | undefined
  readonly after: Uint8Array
}

/**
 * Writes the file if it still is as `before`, which the sandbox checks, and records `file.changed`. Otherwise nothing is written, and the answer is
 * a failure with the difference.
 */
export async function changeFile(change: FileChange, context: ToolContext): Promise<FileDiff | ToolOutput> {
  const { sandbox, path, before } = change
  try {
    await sandbox.writeFile(path, change.after, { ifSha256: before?.sha256 ?? null, signal: context.signal })
  } catch (error) {
    if (!BatonError.isInstance(error, 'FILE_CHANGED')) throw error
    const now = await readContent(sandbox, path, context.signal)
    return refuseStale(path, before, now, context)
  }
  const after = contentOf(change.after)
  const binary = before?.binary === true || after.binary
  const diff = binary
    ? { text: '', cut: true, addedLines: 0, removedLines: 0 }
    : diffTexts(before?.text ?? '', after.text, maxEventDiffBytes)
  await context.record({
    type: 'file.changed',
    data: {
      path,
      change: before === undefined ? 'created' : 'modified',
      evidence: 'tool',
      callId: context.callId,
      ...(before === undefined ? {} : { before: before.sha256 }),
      after: after.sha256,
      ...(binary ? {} : { diff: diff.text, addedLines: diff.addedLines, removedLines: diff.removedLines }),
    },
  })
  return diff
}

/** Whether {@link changeFile} refused. */
export function isRefusal(result: FileDiff | ToolOutput): result is ToolOutput {
  return 'failed' in result
}

/**
 * The refusal of a change to a file that is not what the agent knows, with the difference. Having been shown all of it, the agent knows the file as it
 * is now, and may go on; where the difference had to be cut it reads the file first.
 */
export function refuseStale(path: string, known: Known, now: FileContent | undefined, context: ToolContext): ToolOutput {
  const seen = seenFiles(context)
  seen.forget(path)
  const name = showPath(path)
  if (now === undefined)
    return failed(`${name} has been deleted since you read it; nothing was written. To create it again, use write once more.`)
  const since = known === undefined ? `There is a ${name} by now` : `${name} has changed since you read it`
  if (now.binary || (known !== undefined && known.text === undefined)) {
    return failed(`${since}; nothing was written, and the difference cannot be shown. Read it, then decide.`)
  }
  const diff = diffTexts(known?.text ?? '', now.text, shownBytes(context))
  if (!diff.cut) seen.set(path, now)
  const what = known === undefined ? 'What it holds' : 'The difference from what you saw to what is there now'
  const next = diff.cut ? 'Read it again, then decide.' : 'You have now seen it as it is: take this into account and try again.'
  return failed(`${since}; nothing was written. ${what}:\n${diff.text}${next}`, { path, diff: diff.text })
}

/** What the agent thinks a file holds. */
type Known = Pick<SeenFile, 'text'> | undefined

/** The refusal to replace a file unread, with what would have been replaced. */
export function refuseUnread(path: string, now: FileContent, proposed: string, context: ToolContext): ToolOutput {
  const name = showPath(path)
  if (now.binary) return failed(`${name} exists, is binary, and you have not read it; nothing was written. Read it first.`)
  const diff = diffTexts(now.text, proposed, shownBytes(context))
  // Whoever knows the proposed content and the whole difference knows the file.
  if (!diff.cut) seenFiles(context).set(path, now)
  const next = diff.cut
    ? 'Read it, then decide.'
    : 'You have now seen what it holds: use edit for a change of parts, or write again to replace it all.'
  return failed(
    `${name} exists and you have not read it; nothing was written. The difference from the file to what you gave:\n${diff.text}${next}`,
    {
      path,
      diff: diff.text,
    },
  )
}

function shownBytes({ maxOutputBytes }: ToolContext): number {
  return Math.min(maxShownDiffBytes, Math.max(0, maxOutputBytes - wordsBytes))
}
