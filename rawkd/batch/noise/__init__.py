"""The noise and the defects that the photos of a series share: how they are pooled, and when they are measured."""
