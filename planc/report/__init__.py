"""Results as text for people, and as JSON, SARIF and GitHub annotations for programs."""

FORMATS = ("text", "json", "sarif", "github")
