"""Small inputs made by code, in exactly the layout that instruments and pipelines publish."""
