import type { ToolOutput } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import { showPath } from './tool-paths.ts'

/** The tool did its work and the answer is a failure. */
export function failed(text: string, data?: unknown): ToolOutput {
  return data === undefined ? { text, failed: true } : { text, failed: true, data }
}

/** Errors that are the model's to correct, as a failure. Broken machinery, and an abort, is thrown again. */
export function failureOf(error: unknown, path: string): ToolOutput {
  if (!BatonError.isInstance(error)) throw error
  switch (error.code) {
    case 'PATH_OUTSIDE_WORKDIR':
      return failed(`${showPath(path)} leads out of the working folder (PATH_OUTSIDE_WORKDIR). Only files inside it can be used.`)
    case 'FILE_NOT_FOUND':
      return failed(`There is no ${showPath(path)}.`)
    case 'NOT_A_FILE':
      return failed(`${showPath(path)} is no file: it is a folder, or lies under a file. Use list to see what is there.`)
    case 'FILE_TOO_LARGE':
      return failed(`${showPath(path)} is too large for this: ${error.message}`)
    default:
      throw error
  }
}
