import type { Tool, ToolContext } from '@baton-sdk/core'
import type { FileContent } from './file-content.ts'
import { contentOf } from './file-content.ts'

type SettledFile = Parameters<NonNullable<Tool['remember']>>[0]

/** What the agent has seen of a file. */
export interface SeenFile {
  /** Of the whole file, when it was seen. */
  readonly sha256: string
  /** What it held then; undefined where that was binary, or is no longer kept. */
  readonly text: string | undefined
}

/** Which content of each file the agent knows, by normalised path. */
export interface SeenFiles {
  get(path: string): SeenFile | undefined
  set(path: string, content: FileContent): void
  forget(path: string): void
}

const key = '@baton-sdk/tools/seen-files'

/** Most characters of file texts kept for each task; the oldest go first. */
const maxKeptCharacters = 16 * 1024 * 1024

/**
 * Takes over what a file holds after a proposal about it, for {@link Tool.remember}: known where the agent was shown it, else to be read again. With `unread`, also
 * where the agent has not read the file before.
 */
export function rememberSettled(
  { path, content, shown }: SettledFile,
  memory: ToolContext['memory'],
  { unread }: { readonly unread: boolean },
): void {
  const seen = seenFiles({ memory })
  const known = seen.get(path) !== undefined
  if (content === undefined || !shown) seen.forget(path)
  else if (known || unread) seen.set(path, contentOf(content))
}

/** The task's record of what the agent has seen, in its memory: after a restart the agent has seen nothing and reads again. */
export function seenFiles(context: Pick<ToolContext, 'memory'>): SeenFiles {
  const existing = context.memory.get(key) as SeenFiles | undefined
  if (existing !== undefined) return existing
  const created = createSeenFiles()
  context.memory.set(key, created)
  return created
}

function createSeenFiles(): SeenFiles {
  const files = new Map<string, SeenFile>()
  let kept = 0
  const forget = (path: string): void => {
    kept -= files.get(path)?.text?.length ?? 0
    files.delete(path)
  }
  return {
    get: (path) => files.get(path),
    forget,
    set(path, { sha256, text, binary }) {
      forget(path)
      files.set(path, { sha256, text: binary ? undefined : text })
      kept += binary ? 0 : text.length
      for (const [oldest, file] of files) {
        if (kept <= maxKeptCharacters) break
        kept -= file.text?.length ?? 0
        files.set(oldest, { sha256: file.sha256, text: undefined })
      }
    },
  }
}
