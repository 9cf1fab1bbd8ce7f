"""What takes long to make at the start of a process, and follows from content alone, is kept."""
