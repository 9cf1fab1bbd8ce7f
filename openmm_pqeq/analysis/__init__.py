"""Analysis of series and responses: functions of arrays, which know nothing of the rest of the
package but its units."""
