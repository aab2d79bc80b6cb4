"""Orthanc as a wire: its configuration, the private child process, and its REST interface."""
