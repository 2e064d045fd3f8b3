import type { Actor } from '../events/envelope.ts'
import type { CommitWorkOptions, WorkFile, WorkStage } from './commit-work.ts'
import { diffTexts } from './file-diff.ts'
import { cleanName } from './git-objects.ts'
import type { GitIdentity } from './repository.ts'

/** The stages that make one commit. */
export interface CommitRun {
  readonly actor: Actor
  readonly author: GitIdentity & { readonly time?: Date | undefined }
  readonly message: string
  /** What is different after it, by path in the workspace. */
  readonly files: ReadonlyMap<string, WorkFile | undefined>
}

/** Groups the work into commits: one for all, or one for each run of an actor. */
export async function groupStages(options: CommitWorkOptions): Promise<CommitRun[]> {
  const groups: WorkStage[][] = []
  for (const stage of options.stages) {
    const last = groups.at(-1)
    if (last && (options.perActor !== true || keyOf(last[0]) === keyOf(stage))) last.push(stage)
    else groups.push([stage])
  }
  return Promise.all(groups.map((stages) => runOf(stages, options)))
}

async function runOf(stages: readonly WorkStage[], options: CommitWorkOptions): Promise<CommitRun> {
  const actors = new Map(stages.map((stage) => [keyOf(stage), stage]))
  const main = actors.size === 1 ? stages.at(-1) : await mainStage(stages, options.base)
  const { actor, author } = main ?? (stages[0] as WorkStage)
  const others = [...actors.values()].filter((stage) => keyOf(stage) !== keyOf(main) && stage.actor.kind !== 'system')
  const trailers = [
    ...others.map(({ author: { name, email } }) => `Co-authored-by: ${cleanName(name)} <${cleanName(email)}>`),
    ...[...actors.values()].flatMap((stage) => options.trailer?.(stage.actor)?.replace(/\s+/g, ' ').trim() || []),
  ]
  const message = options.message ?? [...new Set(stages.map((stage) => stage.message.trim()))].join('\n\n')
  return {
    actor,
    author,
    message: withTrailers(message, [...new Set(trailers)]),
    files: new Map(stages.flatMap(({ files }) => [...files])),
  }
}

function keyOf(stage: WorkStage | undefined): string {
  return `${stage?.actor.kind} ${stage?.actor.id}`
}

/** The last stage of the one who changed most lines; of a known actor, where there is one. */
async function mainStage(stages: readonly WorkStage[], base: CommitWorkOptions['base']): Promise<WorkStage | undefined> {
  const lines = new Map<string, { count: number; stage: WorkStage }>()
  const state = new Map(base)
  for (const stage of stages) {
    let count = lines.get(keyOf(stage))?.count ?? 0
    for (const [path, file] of stage.files) {
      count += await changedLines(state.get(path), file)
      if (file) state.set(path, file)
      else state.delete(path)
    }
    lines.set(keyOf(stage), { count, stage })
  }
  const known = [...lines.values()].filter(({ stage }) => stage.actor.kind !== 'system')
  const candidates = known.length > 0 ? known : [...lines.values()]
  return candidates.reduce((best, next) => (next.count > best.count ? next : best)).stage
}

async function changedLines(before: WorkFile | undefined, after: WorkFile | undefined): Promise<number> {
  const [a, b] = [await textOf(before), await textOf(after)]
  if (a === b) return before?.mode === after?.mode ? 0 : 1
  if (a.includes('\0') || b.includes('\0')) return 1
  const { addedLines, removedLines } = diffTexts(a, b, 0)
  return addedLines + removedLines
}

async function textOf(file: WorkFile | undefined): Promise<string> {
  return file ? Buffer.from(await file.content()).toString() : ''
}

/** Trailers stand in a paragraph of their own, or at the end of the one that is there. Source: git-interpret-trailers(1). */
function withTrailers(message: string, trailers: readonly string[]): string {
  if (trailers.length === 0) return message
  const paragraphs = message.trimEnd().split(/\n{2,}/)
  const hasBlock =
    paragraphs.length > 1 &&
    paragraphs
      .at(-1)
      ?.split('\n')
      .every((line) => /^[A-Za-z0-9-]+: \S/.test(line)) === true
  return `${message.trimEnd()}${hasBlock ? '\n' : '\n\n'}${trailers.join('\n')}`
}
