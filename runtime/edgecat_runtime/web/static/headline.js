export const percent = share => `${(100 * share).toFixed(share < 0.9995 ? 1 : 0)} %`;

// What the answer says: the class that leads, and whether that is in doubt. The decision follows
// the probabilities with a delay, so for a moment it may hold a class that no longer leads.
export function headline({ label, confidence, probabilities }) {
  const [[best, share], [, second]] = [probabilities[0], probabilities[1] ?? ["", 0]];
  if (label === "unsure")
    return { text: label, share: 0, note: `closest: ${best}, ${percent(share)}` };
  if (label !== best)
    return { text: `${best}?`, share, note: `doubtful; decided before: ${label}` };
  if (share < 2 * second)
    return { text: `${best}?`, share, note: `doubtful: ${probabilities[1][0]} is close` };
  return { text: label, share: confidence, note: "" };
}
